import type { JsonValue } from '../index.js';

/** Members that hold an address; every other bigint is a size. */
const ADDRESSES: ReadonlySet<string> = new Set(['address', 'base', 'limit']);

/**
 * Any plain value as the command line prints it: addresses as `"0x..."`, sizes as integers or, above 2^53, as
 * text; what has no value is null.
 *
 * @param key the name of the member that the value stands under.
 */
export function toJson(value: unknown, key = ''): JsonValue {
  switch (typeof value) {
    case 'bigint':
      return ADDRESSES.has(key) ? `0x${value.toString(16)}` : sizeToJson(value);
    case 'number':
      return numberToJson(value, key);
    case 'boolean':
    case 'string':
      return value;
    case 'object':
      return value === null ? null : objectToJson(value, key);
    default:
      return null;
  }
}

/** Durations are told to the microsecond: more digits are noise of the clock. */
function numberToJson(value: number, key: string): number | null {
  if (!Number.isFinite(value)) return null;
  return key === 'ms' ? Math.round(value * 1000) / 1000 : value;
}

function objectToJson(value: object, key: string): JsonValue {
  if (value instanceof Map) {
    const entries = [...(value as ReadonlyMap<unknown, unknown>)];
    return Object.fromEntries(
      entries.map(([name, each]) => [String(name), toJson(each, String(name))]),
    );
  }
  if (value instanceof Set) return [...(value as ReadonlySet<unknown>)].map((each) => toJson(each));
  if (value instanceof Error) return value.message;
  if (Array.isArray(value)) return value.map((each: unknown) => toJson(each, key));
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [name, toJson(each, name)]),
  );
}

function sizeToJson(bytes: bigint): number | string {
  return bytes <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(bytes) : String(bytes);
}
