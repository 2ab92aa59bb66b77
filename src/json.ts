import { InputError } from './errors.js';
import { excerpt } from './text.js';

/** A JSON value in which integers beyond 2^53 are bigints, so that none is ever rounded. */
export type JsonValue =
  null | boolean | number | bigint | string | readonly JsonValue[] | JsonObject;

/** Objects made by our parser have no prototype; `__proto__` is a key like any other. */
export interface JsonObject {
  readonly [key: string]: JsonValue | undefined;
}

/** Levels of arrays and objects; the limit of QEMU's own parser (qobject/json-streamer.c, 7.2). */
export const MAX_JSON_DEPTH = 1024;

/**
 * Digits of one integer. QMP needs 20 (2^64 - 1); without a limit a peer could make us spend
 * seconds on a number of a million digits.
 */
const MAX_INTEGER_DIGITS = 128;

/** 2^53 - 1 has 16 digits, so shorter runs of digits cannot lose anything in a double. */
const LONG_INTEGER = /\d{16}/;

const isPlainObject = (value: object): value is Record<string, unknown> => !Array.isArray(value);

/** Whether the value is an object, and neither an array nor null. */
export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && isPlainObject(value);
}

/**
 * Reads one JSON text. An integer that a double cannot hold becomes a bigint; a number with a
 * fraction or an exponent stays a number. Of equal keys in one object the last counts.
 *
 * @throws {InputError} `SYNTAX`: not JSON, nested deeper than `maxDepth`, or a number that is
 * out of range (`1e400`).
 */
export function parseJson(text: string, maxDepth = MAX_JSON_DEPTH): JsonValue {
  if (LONG_INTEGER.test(text)) return new LosslessParser(text, maxDepth).parse();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new InputError('SYNTAX', `Not JSON: ${excerpt((cause as SyntaxError).message)}`);
  }
  return disarm(value, maxDepth);
}

/** Takes away every prototype below `value` and checks what JSON.parse lets through. */
function disarm(value: unknown, depthLeft: number): JsonValue {
  if (typeof value === 'object' && value !== null) {
    if (depthLeft === 0) throw tooDeep();
    if (isPlainObject(value)) {
      Object.setPrototypeOf(value, null);
      for (const key in value) disarm(value[key], depthLeft - 1);
    } else {
      for (const item of value as unknown[]) disarm(item, depthLeft - 1);
    }
  } else if (typeof value === 'number' && !Number.isFinite(value)) {
    throw outOfRange();
  }
  // JSON.parse makes nothing but JSON values.
  return value as JsonValue;
}

const tooDeep = () => new InputError('SYNTAX', 'JSON is nested too deeply');
const outOfRange = () => new InputError('SYNTAX', 'A number in the JSON text is out of range');

const NUMBER = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y;
const SPACE = /[ \t\r\n]*/y;

/** The careful reader, for the rare text that holds a long run of digits. */
class LosslessParser {
  readonly #text: string;
  readonly #maxDepth: number;
  #at = 0;

  constructor(text: string, maxDepth: number) {
    this.#text = text;
    this.#maxDepth = maxDepth;
  }

  parse(): JsonValue {
    const value = this.#value(this.#maxDepth);
    this.#skipSpace();
    if (this.#at < this.#text.length) throw this.#unexpected();
    return value;
  }

  #value(depthLeft: number): JsonValue {
    this.#skipSpace();
    switch (this.#text[this.#at]) {
      case '{':
        if (depthLeft === 0) throw tooDeep();
        return this.#object(depthLeft - 1);
      case '[':
        if (depthLeft === 0) throw tooDeep();
        return this.#array(depthLeft - 1);
      case '"':
        return this.#string();
      case 't':
        return this.#word('true', true);
      case 'f':
        return this.#word('false', false);
      case 'n':
        return this.#word('null', null);
      default:
        return this.#number();
    }
  }

  #object(depthLeft: number): JsonObject {
    const members = Object.create(null) as Record<string, JsonValue>;
    this.#at += 1;
    if (this.#take('}')) return members;
    do {
      this.#skipSpace();
      if (this.#text[this.#at] !== '"') throw this.#unexpected();
      const key = this.#string();
      if (!this.#take(':')) throw this.#unexpected();
      members[key] = this.#value(depthLeft);
    } while (this.#take(','));
    if (!this.#take('}')) throw this.#unexpected();
    return members;
  }

  #array(depthLeft: number): JsonValue[] {
    const items: JsonValue[] = [];
    this.#at += 1;
    if (this.#take(']')) return items;
    do items.push(this.#value(depthLeft));
    while (this.#take(','));
    if (!this.#take(']')) throw this.#unexpected();
    return items;
  }

  #string(): string {
    let end = this.#at + 1;
    for (let code = this.#text.charCodeAt(end); code !== 0x22; code = this.#text.charCodeAt(end)) {
      if (Number.isNaN(code)) throw this.#unexpected(this.#text.length);
      end += code === 0x5c ? 2 : 1;
    }
    const token = this.#text.slice(this.#at, end + 1);
    try {
      // Checks control characters and escapes by the standard.
      const value = JSON.parse(token) as string;
      this.#at = end + 1;
      return value;
    } catch {
      throw this.#unexpected();
    }
  }

  #number(): number | bigint {
    NUMBER.lastIndex = this.#at;
    const match = NUMBER.exec(this.#text);
    if (!match) throw this.#unexpected();
    const [token, fraction, exponent] = match;
    this.#at += token.length;
    const value = Number(token);
    const isInteger = fraction === undefined && exponent === undefined;
    if (isInteger && !Number.isSafeInteger(value)) {
      if (token.length > MAX_INTEGER_DIGITS) throw outOfRange();
      return BigInt(token);
    }
    if (!Number.isFinite(value)) throw outOfRange();
    return value;
  }

  #word<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) throw this.#unexpected();
    this.#at += word.length;
    return value;
  }

  #take(character: string): boolean {
    this.#skipSpace();
    if (this.#text[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }

  #skipSpace(): void {
    SPACE.lastIndex = this.#at;
    SPACE.test(this.#text);
    this.#at = SPACE.lastIndex;
  }

  #unexpected(position = this.#at): InputError {
    const found =
      position < this.#text.length
        ? `${excerpt(JSON.stringify(this.#text[position]))} at position ${position}`
        : 'end of text';
    return new InputError('SYNTAX', `Not JSON: unexpected ${found}`);
  }
}

/**
 * Writes JSON; bigints become plain integers, members that are `undefined` are left out.
 * `indent` is the number of spaces per level; 0 writes one line.
 *
 * @throws {InputError} `BAD_ARGUMENT` for what JSON cannot say: NaN, an infinity, a function, a
 * structure deeper than `MAX_JSON_DEPTH` (a cycle, most likely).
 */
export function stringifyJson(value: JsonValue, indent = 0): string {
  return write(value, indent, indent > 0 ? '\n' : '', MAX_JSON_DEPTH);
}

function write(value: JsonValue, indent: number, lineStart: string, depthLeft: number): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value);
    case 'bigint':
    case 'boolean':
      return String(value);
    case 'number':
      if (!Number.isFinite(value)) {
        throw new InputError('BAD_ARGUMENT', `JSON has no ${value}`);
      }
      return JSON.stringify(value);
    case 'object':
      if (value === null) return 'null';
      if (depthLeft === 0) throw new InputError('BAD_ARGUMENT', 'Nested too deeply for JSON');
      return writeContainer(value, indent, lineStart, depthLeft - 1);
    default:
      throw new InputError('BAD_ARGUMENT', `JSON has no ${typeof value}`);
  }
}

function writeContainer(
  value: readonly JsonValue[] | JsonObject,
  indent: number,
  lineStart: string,
  depthLeft: number,
): string {
  const innerStart = indent > 0 ? lineStart + ' '.repeat(indent) : '';
  // Text grows by appending: lists of parts, joined, took most of the time of a short QMP command.
  let inside = '';
  let before = innerStart;
  if (Array.isArray(value)) {
    for (const item of value as readonly JsonValue[]) {
      inside += before + write(item, indent, innerStart, depthLeft);
      before = `,${innerStart}`;
    }
    return inside === '' ? '[]' : `[${inside}${lineStart}]`;
  }
  const members = value as JsonObject;
  const colon = indent > 0 ? ': ' : ':';
  for (const key of Object.keys(members)) {
    const member = members[key];
    if (member === undefined) continue;
    inside += before + JSON.stringify(key) + colon + write(member, indent, innerStart, depthLeft);
    before = `,${innerStart}`;
  }
  return inside === '' ? '{}' : `{${inside}${lineStart}}`;
}
