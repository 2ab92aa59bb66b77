import { isJsonObject, type JsonObject, type JsonValue } from '../../json.js';
import { canonicalField } from './dra-names.js';
import { allOf, anyOf, type Expression } from './expression.js';
import { specOf } from './fields.js';
import { formatShort } from './format-short.js';
import { formatOrderKey, parseOrderKey } from './order.js';
import { formatPolicy, parsePolicy } from './policy.js';
import { requestFor, type Expectation, type NumaMode, type SelectorRequest } from './request.js';
import { formatMatch, parseMatch, reading, structureError } from './structured.js';

const NUMA_MODES: readonly NumaMode[] = ['required', 'preferred', 'legacy', 'socket'];
const INCLUDES = ['group', 'functions', 'nvswitch'] as const;

type Read = (value: JsonValue, path: string) => Partial<SelectorRequest>;

/** What may stand beside `match`, `any` and `exclude`. */
const MEMBERS: Readonly<Partial<Record<string, Read>>> = {
  policy: (value, path) => ({ policy: reading(path, () => parsePolicy(textOf(value, path))) }),
  order: (value, path) => ({
    order: textsOf(value, path).map((key) => reading(path, () => parseOrderKey(canonicalKey(key)))),
  }),
  same: (value, path) => ({ same: fieldsOf(value, path) }),
  distinct: (value, path) => ({ distinct: fieldsOf(value, path) }),
  spread: (value, path) => ({ spread: fieldOf(value, path) }),
  pack: (value, path) => ({ pack: fieldOf(value, path) }),
  include: (value, path) => ({
    include: textsOf(value, path).map((each) => choiceOf(each, INCLUDES, path)),
  }),
  expect: (value, path) => ({ expect: expectationOf(value, path) }),
  pin: (value, path) => ({ pin: pinOf(value, path) }),
  numa: (value, path) => ({ numa: choiceOf(textOf(value, path), NUMA_MODES, path) }),
  allowInUse: (value, path) => ({ allow: reasonsOf(value, path) }),
  force: (value, path) => ({ allow: reasonsOf(value, path) }),
};

/**
 * Reads the structured form: `match`, `any` and `exclude` say what to look for, the rest how many and which.
 *
 * @param text what errors call the selector; default its canonical short form.
 * @throws {InputError} `SYNTAX` for anything that is not foreseen, unknown keys included.
 */
export function parseStructured(
  value: JsonValue,
  text?: string,
  path = 'selector',
): SelectorRequest {
  if (!isJsonObject(value)) throw structureError(path, 'expected an object');
  const { match, any, exclude, orElse, ...members } = value;
  const expression = expressionOf({ match, any, exclude }, path);
  const request = requestFor(text ?? formatShort(expression), expression);
  const parts = readMembers(members, path);
  const merged = Object.assign({}, request, ...parts) as SelectorRequest;
  const allow = parts.flatMap((part) => part.allow ?? []);
  if (merged.spread !== undefined && merged.pack !== undefined) {
    throw structureError(path, 'spread and pack exclude each other');
  }
  return { ...merged, allow, orElse: alternativesOf(orElse, `${path}.orElse`) };
}

function readMembers(members: JsonObject, path: string): readonly Partial<SelectorRequest>[] {
  return Object.entries(members).map(([key, member]) => {
    const read = Object.hasOwn(MEMBERS, key) ? MEMBERS[key] : undefined;
    if (read === undefined || member === undefined) {
      throw structureError(`${path}.${key}`, 'there is no such key');
    }
    return read(member, `${path}.${key}`);
  });
}

/** What stands beside a selector in its short form, as options; it comes over what a structured one has itself. */
export interface RequestOptions {
  readonly policy?: string | undefined;
  readonly order?: readonly string[] | undefined;
  readonly same?: readonly string[] | undefined;
  readonly distinct?: readonly string[] | undefined;
  readonly spread?: string | undefined;
  readonly pack?: string | undefined;
  readonly allow?: readonly string[] | undefined;
  readonly numa?: NumaMode | undefined;
  readonly pin?: { readonly file: string; readonly follow: boolean } | undefined;
}

/**
 * A request with options over it.
 *
 * @throws {InputError} `SYNTAX` naming the option.
 */
export function withOptions(
  request: SelectorRequest,
  { allow = [], ...options }: RequestOptions,
): SelectorRequest {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const parts = readMembers(Object.fromEntries(given), 'options');
  const merged = Object.assign({}, request, ...parts) as SelectorRequest;
  if (merged.spread !== undefined && merged.pack !== undefined) {
    throw structureError('options', 'spread and pack exclude each other');
  }
  return { ...merged, allow: [...request.allow, ...allow] };
}

function expressionOf({ match, any, exclude }: JsonObject, path: string): Expression {
  const parts: Expression[] = [];
  if (match !== undefined) parts.push(parseMatch(match, `${path}.match`));
  if (any !== undefined) {
    const [first, ...others] = objectsOf(any, `${path}.any`);
    if (first === undefined) throw structureError(`${path}.any`, 'expected at least one object');
    parts.push(anyOf([first, ...others]));
  }
  if (exclude !== undefined) {
    const list = Array.isArray(exclude) ? exclude : [exclude];
    const [first, ...others] = objectsOf(list, `${path}.exclude`);
    if (first === undefined) throw structureError(`${path}.exclude`, 'expected an object');
    parts.push({ kind: 'not', of: anyOf([first, ...others]) });
  }
  const [first, ...others] = parts;
  if (first === undefined) throw structureError(path, 'an empty selector: match, any or exclude');
  return allOf([first, ...others]);
}

function objectsOf(value: JsonValue, path: string): readonly Expression[] {
  if (!Array.isArray(value)) throw structureError(path, 'expected a list of objects');
  return (value as readonly JsonValue[]).map((each, index) =>
    parseMatch(each, `${path}[${index}]`),
  );
}

function alternativesOf(value: JsonValue | undefined, path: string): readonly SelectorRequest[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw structureError(path, 'expected a list of selectors');
  return (value as readonly JsonValue[]).map((each, index) => {
    const at = `${path}[${index}]`;
    if (isJsonObject(each) && each.orElse !== undefined) {
      throw structureError(at, 'orElse within orElse; one list has all alternatives');
    }
    return parseStructured(each, undefined, at);
  });
}

function textOf(value: JsonValue, path: string): string {
  if (typeof value !== 'string' || value === '') throw structureError(path, 'expected text');
  return value;
}

function textsOf(value: JsonValue, path: string): readonly string[] {
  const list = Array.isArray(value) ? (value as readonly JsonValue[]) : [value];
  return list.map((each) => textOf(each, path));
}

function fieldOf(value: JsonValue, path: string): string {
  const field = canonicalField(textOf(value, path));
  if (reading(path, () => specOf(field)) === undefined) {
    throw structureError(path, `there is no field ${JSON.stringify(field)}`);
  }
  return field;
}

/** A field to sort by, backwards with a dash before it. */
function canonicalKey(key: string): string {
  return key.startsWith('-') ? `-${canonicalField(key.slice(1))}` : canonicalField(key);
}

function fieldsOf(value: JsonValue, path: string): readonly string[] {
  return textsOf(value, path).map((each) => fieldOf(each, path));
}

function choiceOf<T extends string>(text: string, choices: readonly T[], path: string): T {
  const found = choices.find((choice) => choice === text);
  if (found === undefined) throw structureError(path, `expected ${choices.join(', ')}`);
  return found;
}

function reasonsOf(value: JsonValue, path: string): readonly string[] {
  return textsOf(value, path).map((each) => {
    if (!/^[a-z][a-z0-9]*([.-][a-z0-9]+)*$/.test(each)) {
      throw structureError(path, `${JSON.stringify(each)} is no id of a rule or a finding`);
    }
    return each;
  });
}

const EXPECTED = ['vendor', 'device', 'subsystem', 'serial', 'group', 'count'];

function expectationOf(value: JsonValue, path: string): Expectation {
  if (!isJsonObject(value)) throw structureError(path, 'expected an object');
  for (const key of Object.keys(value)) {
    if (!EXPECTED.includes(key)) throw structureError(`${path}.${key}`, 'there is no such key');
  }
  const { count, ...texts } = value;
  if (
    count !== undefined &&
    (typeof count !== 'number' || !Number.isSafeInteger(count) || count < 1)
  ) {
    throw structureError(`${path}.count`, 'expected a number of devices');
  }
  const members = Object.entries(texts).map(([key, text]) => [
    key,
    typeof text === 'number' ? String(text) : textOf(text ?? '', `${path}.${key}`).toLowerCase(),
  ]);
  return { ...(Object.fromEntries(members) as Expectation), count };
}

function pinOf(value: JsonValue, path: string): SelectorRequest['pin'] {
  if (!isJsonObject(value)) throw structureError(path, 'expected an object');
  const { file, follow, ...more } = value;
  const [stray] = Object.keys(more);
  if (stray !== undefined) throw structureError(`${path}.${stray}`, 'there is no such key');
  if (follow !== undefined && typeof follow !== 'boolean') {
    throw structureError(`${path}.follow`, 'expected true or false');
  }
  return { file: textOf(file ?? '', `${path}.file`), follow: follow ?? false };
}

/** The one structured form of a request; `parseStructured` reads back the same. */
export function formatStructured(request: SelectorRequest): JsonObject {
  const { expression, policy, order, orElse, ...others } = request;
  const { same, distinct, spread, pack, include, expect, pin, numa, allow } = others;
  const list = (values: readonly string[]) => (values.length === 0 ? undefined : values);
  const members: Record<string, JsonValue | undefined> = {
    match: formatMatch(expression),
    policy: policy.kind === 'one' ? undefined : formatPolicy(policy),
    order: list(order.map(formatOrderKey)),
    same: list(same),
    distinct: list(distinct),
    spread,
    pack,
    include: list(include),
    expect: expect === undefined ? undefined : { ...expect },
    pin: pin === undefined ? undefined : { ...pin },
    numa,
    allowInUse: list(allow),
    orElse: orElse.length === 0 ? undefined : orElse.map(formatStructured),
  };
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}
