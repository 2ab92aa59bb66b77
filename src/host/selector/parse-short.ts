import { allOf, anyOf, type CompareOp, type Expression, type ListedTest } from './expression.js';
import {
  canonicalValue,
  isComparable,
  isFlag,
  nearFields,
  specOf,
  type FieldSpec,
} from './fields.js';
import { readPattern, readRegex } from './read-value.js';
import { readLspciId, readLspciSlot, readSugar } from './sugar.js';
import { BadValue, syntaxError } from './syntax-error.js';

/** Longest selector: one of a thousand addresses is a file's business. */
const MAX_LENGTH = 4096;
const MAX_DEPTH = 32;

const FIELD = /([a-z][a-z0-9-]*(?:\.[^\s:<>=|(),"!]+)?)(:|>=|<=|>|<|=)/iy;
const BARE = /[^\s,|()"\\]+/y;
const TOKEN = /[^\s|()"]+/y;
const QUOTED = /"((?:[^"\\]|\\[\s\S])*)"/y;
const REGEX = /\/((?:[^/\\]|\\[\s\S])*)\//y;

/**
 * Reads the short form of a selector.
 *
 * @throws {InputError} `SYNTAX` with the position of the trouble.
 */
export function parseShort(text: string): Expression {
  return new ShortParser(text).parse();
}

class ShortParser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): Expression {
    if (this.#text.length > MAX_LENGTH) {
      throw this.#error(`longer than ${MAX_LENGTH} characters`, MAX_LENGTH);
    }
    const expression = this.#or(MAX_DEPTH);
    if (this.#at < this.#text.length) throw this.#error('a ) that no ( opens');
    return expression;
  }

  #or(depthLeft: number): Expression {
    if (depthLeft === 0) throw this.#error('nested too deeply');
    const first = this.#and(depthLeft);
    const others: Expression[] = [];
    while (this.#text[this.#at] === '|') {
      this.#at += 1;
      others.push(this.#and(depthLeft));
    }
    return anyOf([first, ...others]);
  }

  #and(depthLeft: number): Expression {
    this.#skipSpace();
    const first = this.#unary(depthLeft);
    const others: Expression[] = [];
    for (;;) {
      const end = this.#at;
      this.#skipSpace();
      const next = this.#text[this.#at];
      if (next === undefined || next === '|' || next === ')') return allOf([first, ...others]);
      if (this.#at === end) throw this.#error(`expected a space before ${JSON.stringify(next)}`);
      others.push(this.#unary(depthLeft));
    }
  }

  #unary(depthLeft: number): Expression {
    if (this.#text[this.#at] !== '!') return this.#primary(depthLeft);
    this.#at += 1;
    return { kind: 'not', of: this.#primary(depthLeft) };
  }

  #primary(depthLeft: number): Expression {
    switch (this.#text[this.#at]) {
      case undefined:
        throw this.#error(this.#text.trim() === '' ? 'an empty selector' : 'a term is missing');
      case '(':
        return this.#group(depthLeft);
      case '|':
      case ')':
      case ',':
      case '!':
        throw this.#error(`a term is missing before ${this.#text[this.#at]}`);
      default:
        return this.#term(depthLeft);
    }
  }

  #group(depthLeft: number): Expression {
    const start = this.#at;
    this.#at += 1;
    const inner = this.#or(depthLeft - 1);
    if (this.#text[this.#at] !== ')') throw this.#error('a ( that no ) closes', start);
    this.#at += 1;
    return inner;
  }

  #term(depthLeft: number): Expression {
    const start = this.#at;
    const head = this.#take(FIELD);
    if (head) {
      const [, raw = '', operator = ''] = head;
      const field = /^(?:attr|udev|available)\./i.test(raw) ? raw : raw.toLowerCase();
      if (operator === ':' && field === 'has') return this.#has();
      if (operator === ':' && field === 'pf-of') return this.#pfOf(depthLeft);
      const spec = this.#reading(start, () => specOf(field));
      if (spec !== undefined) return this.#fieldTerm(field, spec, operator);
      this.#at = start;
    }
    return this.#sugar(head?.[1]);
  }

  #fieldTerm(field: string, spec: FieldSpec, operator: string): Expression {
    const start = this.#at - operator.length;
    if (operator === ':' || (operator === '=' && !this.#comparesAsNumber(field, spec))) {
      return { kind: 'values', field, tests: this.#values(field, spec) };
    }
    if (!isComparable(field, spec)) {
      throw this.#error(`${field} has no order; write ${field}:VALUE`, start);
    }
    const at = this.#at;
    const raw = this.#take(BARE)?.[0];
    if (raw === undefined) throw this.#error(`a value is missing after ${field}${operator}`);
    const operand = this.#reading(at, () => comparisonOperand(field, spec, raw));
    // The pattern of FIELD has no other operators.
    return { kind: 'compare', field, op: operator as CompareOp, operand };
  }

  /** Of an attribute nothing is known: what looks like a number is compared as one. */
  #comparesAsNumber(field: string, spec: FieldSpec): boolean {
    if (!isComparable(field, spec)) return false;
    return (
      spec.kind !== 'text' ||
      /^-?(?:0x[0-9a-f]+|\d+(?:\.\d+)?)(?![^\s|)])/i.test(this.#text.slice(this.#at))
    );
  }

  #values(field: string, spec: FieldSpec): readonly ListedTest[] {
    const tests: ListedTest[] = [];
    do {
      if (tests.length > 0) this.#at += 1;
      const negated = this.#text[this.#at] === '!';
      if (negated) this.#at += 1;
      tests.push({ negated, test: this.#value(field, spec) });
    } while (this.#text[this.#at] === ',');
    return tests;
  }

  #value(field: string, spec: FieldSpec): ListedTest['test'] {
    const start = this.#at;
    switch (this.#text[start]) {
      case '"': {
        const content = this.#take(QUOTED)?.[1];
        if (content === undefined) throw this.#error('a " that no " closes');
        const pattern = content.replace(/\\[\s\S]/g, (pair) => (pair === '\\"' ? '"' : pair));
        return this.#reading(start, () => readPattern(field, spec, pattern));
      }
      case '/': {
        const source = this.#take(REGEX)?.[1];
        if (source === undefined) {
          throw this.#error('a pattern that no / closes; quote a value that begins with /');
        }
        return this.#reading(start, () => readRegex(source, spec));
      }
      default: {
        const raw = this.#take(BARE)?.[0];
        if (raw === undefined) throw this.#error(`a value of ${field} is missing`);
        if (this.#text[this.#at] === '\\') throw this.#error('a \\ stands in quotes only');
        return this.#reading(start, () => readPattern(field, spec, raw));
      }
    }
  }

  #has(): Expression {
    const start = this.#at;
    const raw = this.#take(TOKEN)?.[0] ?? '';
    const field = /^(?:attr|udev|available)\./i.test(raw) ? raw : raw.toLowerCase();
    if (this.#reading(start, () => specOf(field)) === undefined) throw this.#noField(raw, start);
    return { kind: 'has', field };
  }

  #pfOf(depthLeft: number): Expression {
    const of = this.#text[this.#at] === '(' ? this.#group(depthLeft) : this.#primary(depthLeft - 1);
    return { kind: 'pf-of', of };
  }

  #sugar(fieldName: string | undefined): Expression {
    const start = this.#at;
    const option = this.#take(/-([sd])[ \t]*/y)?.[1];
    if (option !== undefined) {
      const at = this.#at;
      const argument = this.#take(TOKEN)?.[0] ?? '';
      const read = option === 's' ? readLspciSlot : readLspciId;
      return this.#reading(at, () => read(argument));
    }
    const token = this.#take(TOKEN)?.[0];
    if (token === undefined) throw this.#error(`unexpected ${JSON.stringify(this.#text[start])}`);
    if (isFlag(token.toLowerCase())) {
      // isFlag has checked the lower-case spelling.
      return { kind: 'flag', flag: token.toLowerCase() as 'vf' };
    }
    const meant = this.#reading(start, () => readSugar(token));
    if (meant !== undefined) return meant;
    if (fieldName !== undefined) throw this.#noField(fieldName, start);
    throw this.#error(`${JSON.stringify(token)} is no address, id, flag or field`, start);
  }

  #noField(name: string, position: number): Error {
    const near = nearFields(name.toLowerCase());
    const hint = near.length === 0 ? '' : `; there is ${near.join(', ')}`;
    return this.#error(`there is no field ${JSON.stringify(name)}${hint}`, position);
  }

  /** What cannot be read is reported where it begins. */
  #reading<T>(position: number, read: () => T): T {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof BadValue)) throw error;
      throw this.#error(error.message, position);
    }
  }

  #take(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match) this.#at += match[0].length;
    return match;
  }

  #skipSpace(): void {
    while (/\s/.test(this.#text[this.#at] ?? '')) this.#at += 1;
  }

  #error(problem: string, position = this.#at): Error {
    return syntaxError(this.#text, position, problem);
  }
}

/** @throws {BadValue} */
export function comparisonOperand(field: string, spec: FieldSpec, raw: string): string {
  if (!field.startsWith('attr.')) return canonicalValue({ ...spec, named: false, words: [] }, raw);
  if (!/^-?(?:0x[0-9a-f]{1,12}|\d{1,15}(?:\.\d{1,6})?)$/i.test(raw)) {
    throw new BadValue(`${JSON.stringify(raw)} is no number`);
  }
  return raw.toLowerCase();
}
