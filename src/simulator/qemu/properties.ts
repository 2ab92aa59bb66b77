import type { JsonValue } from '../../json.js';
import { QmpFailure } from './failure.js';
import type { Release } from './releases.js';

/** A qdev property as `device-list-properties` tells it. */
export interface PropertySpec {
  readonly name: string;
  readonly type: string;
  readonly defaultValue: JsonValue | undefined;
}

/** Reads the compact form `name:type` or `name:type=json`, separated by white space. */
export function propertyList(text: string): readonly PropertySpec[] {
  return text
    .trim()
    .split(/\s+/)
    .map((entry) => {
      const [head = '', json] = splitOnce(entry, '=');
      const [name = '', type = ''] = splitOnce(head, ':');
      return { name, type, defaultValue: json === undefined ? undefined : parseDefault(json) };
    });
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at === -1 ? [text, undefined] : [text.slice(0, at), text.slice(at + separator.length)];
}

/** 2^64 - 1, an unset reserve, does not fit a double. */
function parseDefault(json: string): JsonValue {
  if (/^\d{16,}$/.test(json)) return BigInt(json);
  // The tables hold scalars only.
  return JSON.parse(json) as JsonValue;
}

const UNSIGNED_BITS: Readonly<Record<string, bigint>> = {
  uint8: 8n,
  uint16: 16n,
  uint32: 32n,
  uint64: 64n,
  size: 64n,
};

/**
 * The value a property takes from `device_add` or `-device`, as `qom-get` returns it.
 *
 * @throws {QmpFailure} with the text of the release.
 */
export function parseProperty(
  owner: string,
  spec: PropertySpec,
  given: JsonValue,
  release: Pick<Release, 'strictTypes'>,
): JsonValue {
  const { name, type } = spec;
  // `addr` has a parser of its own on every release.
  if (name === 'addr') return parseAddr(owner, given, release.strictTypes);
  const bits = UNSIGNED_BITS[type];
  if (type === 'bool') return parseBool(name, given, release.strictTypes);
  if (bits !== undefined) return parseUnsigned(name, type, bits, given, release.strictTypes);
  if (type === 'int32') return parseSigned(name, given, release.strictTypes);
  return asText(given);
}

/** How QemuOpts wrote a JSON value before 9.2. */
function asText(value: JsonValue): string {
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  if (typeof value === 'object') return '';
  return String(value);
}

function parseBool(name: string, given: JsonValue, strict: boolean): boolean {
  if (typeof given === 'boolean') return given;
  if (strict) {
    throw new QmpFailure(`Invalid parameter type for '${name}', expected: boolean`);
  }
  const text = asText(given);
  if (['on', 'yes', 'true', 'y'].includes(text)) return true;
  if (['off', 'no', 'false', 'n'].includes(text)) return false;
  throw new QmpFailure(`Parameter '${name}' expects 'on' or 'off'`);
}

const SIZE_UNITS: Readonly<Record<string, bigint>> = {
  '': 1n,
  B: 1n,
  K: 1n << 10n,
  M: 1n << 20n,
  G: 1n << 30n,
  T: 1n << 40n,
};

function parseUnsigned(
  name: string,
  type: string,
  bits: bigint,
  given: JsonValue,
  strict: boolean,
): JsonValue {
  const number = typeof given === 'number' || typeof given === 'bigint';
  if (strict && !number) throw new QmpFailure(`Parameter '${name}' expects uint64`);
  const text = asText(given);
  const [, digits, unit = ''] = /^(0x[0-9a-f]+|\d+)([bkmgt]?)$/i.exec(text) ?? [];
  const scale = SIZE_UNITS[unit.toUpperCase()];
  if (digits === undefined || scale === undefined || (unit !== '' && type !== 'size')) {
    throw new QmpFailure(`Parameter '${name}' expects ${type === 'size' ? 'size' : 'integer'}`);
  }
  const value = BigInt(digits) * scale;
  if (value >= 1n << bits) {
    throw new QmpFailure(`Parameter '${name}' expects ${type === 'size' ? 'uint64' : `${type}_t`}`);
  }
  return narrow(value);
}

function parseSigned(name: string, given: JsonValue, strict: boolean): JsonValue {
  const number = typeof given === 'number' || typeof given === 'bigint';
  if (strict && !number) {
    throw new QmpFailure(`Invalid parameter type for '${name}', expected: integer`);
  }
  const text = asText(given);
  if (!/^-?\d+$/.test(text)) {
    const expects = strict ? `Invalid parameter type for '${name}', expected: integer` : undefined;
    throw new QmpFailure(expects ?? `Parameter '${name}' expects integer`);
  }
  const value = BigInt(text);
  if (BigInt.asIntN(32, value) !== value) {
    throw new QmpFailure(`Parameter '${name}' expects int32_t`);
  }
  return narrow(value);
}

function narrow(value: bigint): number | bigint {
  const small = Number(value);
  return Number.isSafeInteger(small) ? small : value;
}

const ADDR = /^(?:0x)?([0-9a-f]{1,2})(?:\.([0-7]))?$/i;

/**
 * `addr` as devfn (slot * 8 + function). A JSON number means the slot before 9.2 and the devfn
 * since then. Source: set_pci_devfn, hw/core/qdev-properties-system.c.
 */
function parseAddr(owner: string, given: JsonValue, strict: boolean): number {
  if (strict && typeof given !== 'number' && typeof given !== 'string') {
    throw new QmpFailure("Invalid parameter type for 'addr', expected int or str");
  }
  if (strict && typeof given === 'number') {
    if (!Number.isInteger(given)) {
      throw new QmpFailure("Invalid parameter type for 'addr', expected: integer");
    }
    if (given < -1 || given > 255) {
      throw new QmpFailure("Parameter 'addr' expects a value between -1 and 255");
    }
    return given;
  }
  const text = asText(given);
  const [, slotText, functionText = '0'] = ADDR.exec(text) ?? [];
  const slot = parseInt(slotText ?? '', 16);
  if (slotText === undefined || slot > 0x1f) {
    throw new QmpFailure(`Property '${owner}.addr' doesn't take value '${text}'`);
  }
  return slot * 8 + Number(functionText);
}
