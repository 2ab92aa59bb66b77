import { InputError } from '../../errors.js';
import { isJsonObject, type JsonObject, type JsonValue } from '../../json.js';
import { canonicalField } from './dra-names.js';
import {
  allOf,
  anyOf,
  type CompareOp,
  type Expression,
  type FieldTest,
  type ListedTest,
} from './expression.js';
import { isComparable, isFlag, nearFields, specOf, type FieldSpec } from './fields.js';
import { isGlob } from './glob.js';
import { comparisonOperand, parseShort } from './parse-short.js';
import { readExact, readPattern, readRegex } from './read-value.js';
import { BadValue } from './syntax-error.js';

const MAX_DEPTH = 32;

const COMPARISONS: readonly (readonly [string, CompareOp])[] = [
  ['gt', '>'],
  ['gte', '>='],
  ['lt', '<'],
  ['lte', '<='],
];

export function structureError(path: string, problem: string): InputError {
  return new InputError('SYNTAX', `Selector, at ${path}: ${problem}`, {
    remedy: 'see docs/selectors.md for the structured form',
    details: { position: path, problem },
  });
}

/**
 * Reads an object of fields and their values, all of which must match; `all`, `any` and `not` nest.
 *
 * @param path where it stands, for errors: `match`.
 * @throws {InputError} `SYNTAX`.
 */
export function parseMatch(
  value: JsonValue | undefined,
  path: string,
  depthLeft = MAX_DEPTH,
): Expression {
  if (!isJsonObject(value)) throw structureError(path, 'expected an object of fields');
  if (depthLeft === 0) throw structureError(path, 'nested too deeply');
  const parts = Object.entries(value).flatMap(([key, member]) =>
    parseMember(key, member, `${path}.${key}`, depthLeft - 1),
  );
  const [first, ...others] = parts;
  if (first === undefined) throw structureError(path, 'expected at least one field');
  return allOf([first, ...others]);
}

function parseMember(
  key: string,
  value: JsonValue | undefined,
  path: string,
  depthLeft: number,
): readonly Expression[] {
  switch (key) {
    case 'all':
      return [allOf(parseList(value, path, depthLeft))];
    case 'any':
      return [anyOf(parseList(value, path, depthLeft))];
    case 'not':
      return [{ kind: 'not', of: parseMatch(value, path, depthLeft) }];
    case 'pf-of':
      return [{ kind: 'pf-of', of: parseNested(value, path, depthLeft) }];
    default:
      return parseField(canonicalField(key), value, path);
  }
}

function parseList(
  value: JsonValue | undefined,
  path: string,
  depthLeft: number,
): readonly [Expression, ...Expression[]] {
  if (!Array.isArray(value)) throw structureError(path, 'expected a list of objects');
  const [first, ...others] = (value as readonly JsonValue[]).map((each, index) =>
    parseMatch(each, `${path}[${index}]`, depthLeft),
  );
  if (first === undefined) throw structureError(path, 'expected at least one object');
  return [first, ...others];
}

function parseNested(value: JsonValue | undefined, path: string, depthLeft: number): Expression {
  return typeof value === 'string' ? parseShort(value) : parseMatch(value, path, depthLeft);
}

function parseField(
  field: string,
  value: JsonValue | undefined,
  path: string,
): readonly Expression[] {
  if (typeof value === 'boolean' && isFlag(field)) {
    const flag: Expression = { kind: 'flag', flag: field };
    return [value ? flag : { kind: 'not', of: flag }];
  }
  const spec = reading(path, () => specOf(field));
  if (spec === undefined) {
    const near = nearFields(field);
    throw structureError(
      path,
      `there is no field ${JSON.stringify(field)}${near.length === 0 ? '' : `; there is ${near.join(', ')}`}`,
    );
  }
  if (isJsonObject(value) && !isValueObject(value)) {
    return parseCondition(field, spec, value, path);
  }
  const list = Array.isArray(value) ? (value as readonly JsonValue[]) : [value];
  if (list.length === 0) throw structureError(path, 'expected at least one value');
  const tests = list.map((each) => parseTest(field, spec, each, path));
  return [{ kind: 'values', field, tests }];
}

const VALUE_KEYS = ['eq', 'ne', 'glob', 'regex'];
const isValueObject = (value: JsonObject) =>
  Object.keys(value).some((key) => VALUE_KEYS.includes(key));

/** `{in}`, `{exists}` and comparisons; several of these must all hold. */
function parseCondition(
  field: string,
  spec: FieldSpec,
  condition: JsonObject,
  path: string,
): readonly Expression[] {
  const parts = Object.entries(condition).map(([key, operand]): Expression => {
    const at = `${path}.${key}`;
    if (key === 'exists') {
      if (typeof operand !== 'boolean') throw structureError(at, 'expected true or false');
      const has: Expression = { kind: 'has', field };
      return operand ? has : { kind: 'not', of: has };
    }
    if (key === 'in') {
      if (!Array.isArray(operand) || operand.length === 0) {
        throw structureError(at, 'expected a list of values');
      }
      const tests = (operand as readonly JsonValue[]).map((each) =>
        parseTest(field, spec, each, at),
      );
      return { kind: 'values', field, tests };
    }
    const op = [...COMPARISONS, ['equals', '='] as const].find(([name]) => name === key)?.[1];
    if (op === undefined)
      throw structureError(at, 'not a condition: in, exists, gt, gte, lt, lte, equals');
    if (!isComparable(field, spec)) throw structureError(at, `${field} has no order`);
    return {
      kind: 'compare',
      field,
      op,
      operand: reading(at, () => comparisonOperand(field, spec, scalar(operand, at))),
    };
  });
  if (parts.length === 0) throw structureError(path, 'an empty condition');
  return parts;
}

function parseTest(
  field: string,
  spec: FieldSpec,
  value: JsonValue | undefined,
  path: string,
): ListedTest {
  if (!isJsonObject(value)) {
    const raw = scalar(value, path);
    return { negated: false, test: reading(path, () => readPattern(field, spec, raw)) };
  }
  const [key, operand, ...more] = Object.entries(value).flat() as [string, JsonValue, ...unknown[]];
  if (more.length > 0) throw structureError(path, 'expected one of eq, ne, glob, regex');
  const at = `${path}.${key}`;
  switch (key) {
    case 'eq':
      return {
        negated: false,
        test: reading(at, () => readExact(field, spec, scalar(operand, at))),
      };
    case 'glob':
      return {
        negated: false,
        test: reading(at, () => readPattern(field, spec, scalar(operand, at))),
      };
    case 'regex':
      return { negated: false, test: reading(at, () => readRegex(scalar(operand, at), spec)) };
    case 'ne': {
      const { negated, test } = parseTest(field, spec, operand, at);
      if (negated) throw structureError(at, 'ne within ne');
      return { negated: true, test };
    }
    default:
      throw structureError(path, `${JSON.stringify(key)} is none of eq, ne, glob, regex`);
  }
}

function scalar(value: JsonValue | undefined, path: string): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'number' && Number.isFinite(value)) return String(value);
  throw structureError(path, 'expected text or a number');
}

export function reading<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof BadValue)) throw error;
    throw structureError(path, error.message);
  }
}

/** The one object for an expression; `parseMatch` reads back the same expression. */
export function formatMatch(expression: Expression): JsonObject {
  if (expression.kind !== 'and') return formatMember(expression);
  const members = expression.of.map(formatMember);
  const keys = members.flatMap((member) => Object.keys(member));
  const isDistinct = new Set(keys).size === keys.length;
  return isDistinct ? (Object.assign({}, ...members) as JsonObject) : { all: members };
}

/** An object with exactly one key. */
function formatMember(expression: Expression): JsonObject {
  switch (expression.kind) {
    case 'and':
      return { all: expression.of.map(formatMatch) };
    case 'or':
      return { any: expression.of.map(formatMatch) };
    case 'not':
      return { not: formatMatch(expression.of) };
    case 'pf-of':
      return { 'pf-of': formatMatch(expression.of) };
    case 'flag':
      return { [expression.flag]: true };
    case 'has':
      return { [expression.field]: { exists: true } };
    case 'compare': {
      const name = COMPARISONS.find(([, op]) => op === expression.op)?.[0] ?? 'equals';
      return { [expression.field]: { [name]: expression.operand } };
    }
    case 'values': {
      const tests = expression.tests.map(formatListed);
      const [only] = tests;
      return { [expression.field]: tests.length === 1 && only !== undefined ? only : tests };
    }
  }
}

function formatListed({ negated, test }: ListedTest): JsonValue {
  const value = formatTest(test);
  return negated ? { ne: value } : value;
}

function formatTest(test: FieldTest): JsonValue {
  switch (test.kind) {
    case 'text':
      return isGlob(test.text) ? { eq: test.text } : test.text;
    case 'glob':
      return { glob: test.pattern };
    case 'range':
      return `${test.from}-${test.to}`;
    case 'regex':
      return { regex: test.source };
  }
}
