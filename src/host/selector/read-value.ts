import type { FieldTest } from './expression.js';
import { canonicalGlob, canonicalValue, isComparable, numberOf, type FieldSpec } from './fields.js';
import { compileGlob, escapeGlob, isGlob, literalOf } from './glob.js';
import { compileRegex } from './regex.js';
import { BadValue } from './syntax-error.js';

const RANGE = /^((?:0x)?[0-9a-f]+)-((?:0x)?[0-9a-f]+)$/i;

/**
 * Reads a value that may have wildcards.
 *
 * @throws {BadValue}
 */
export function readPattern(field: string, spec: FieldSpec, raw: string): FieldTest {
  const literal = literalOf(raw);
  if (literal !== undefined) return readLiteral(field, spec, literal, raw);
  compileGlob(raw);
  const pattern = canonicalGlob(spec, raw.replace(/\\([^*?[\]\\])/g, '$1'));
  return { kind: 'glob', pattern };
}

/** Reads a value that means itself, or a range of numbers. @throws {BadValue} */
function readLiteral(field: string, spec: FieldSpec, literal: string, raw: string): FieldTest {
  const range = RANGE.exec(literal);
  const isRange = range !== null && isComparable(field, spec) && spec.kind !== 'text';
  if (isRange) {
    const [from = '', to = ''] = range.slice(1).map((end) => canonicalValue(spec, end));
    const [low, high] = [numberOf(spec, from), numberOf(spec, to)];
    if (low === undefined || high === undefined || low > high) {
      throw new BadValue(`${literal} is no range from a smaller to a larger number`);
    }
    return { kind: 'range', from, to };
  }
  // An address without a domain is a pattern: it can mean several.
  if (spec.kind === 'bdf' && /^[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/i.test(literal)) {
    return { kind: 'glob', pattern: canonicalGlob(spec, raw) };
  }
  if (spec.kind === 'pair' && /^(?:[^:]*:|:[^:]*)$/.test(literal)) {
    return { kind: 'glob', pattern: canonicalGlob(spec, raw) };
  }
  return { kind: 'text', text: canonicalValue(spec, literal) };
}

/** Reads a value that has no wildcards, whatever its characters. @throws {BadValue} */
export function readExact(field: string, spec: FieldSpec, text: string): FieldTest {
  return isGlob(text) || text === ''
    ? { kind: 'text', text: canonicalValue(spec, text) }
    : readPattern(field, spec, escapeGlob(text));
}

/** A slash may be escaped, as it has to be between slashes. @throws {BadValue} */
export function readRegex(raw: string, { kind }: FieldSpec): FieldTest {
  if (kind === 'file') throw new BadValue('a pattern; write a path in quotes: file:"/sys/..."');
  const source = raw.replace(/\\[\s\S]/g, (pair) => (pair === '\\/' ? '/' : pair));
  if (source === '') throw new BadValue('an empty pattern');
  compileRegex(source);
  return { kind: 'regex', source };
}
