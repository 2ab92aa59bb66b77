import { ProtocolError } from '../errors.js';
import { isJsonObject, type JsonValue } from '../json.js';
import { excerpt } from '../text.js';

const INT64_MIN = -(1n << 63n);
const UINT64_MAX = 2n ** 64n - 1n;

/**
 * A value inside a reply that knows where it is, so that whatever is not as the command promises
 * is refused by name: `query-pci: return[0].devices[3].slot must be an integer from 0 to 31`.
 * Everything in a reply is in the hands of QEMU, and so perhaps of the guest.
 */
export class ReplyValue {
  /** As it came: unchecked. */
  readonly raw: JsonValue | undefined;
  readonly #command: string;
  readonly #parent: ReplyValue | undefined;
  readonly #key: string;

  private constructor(
    raw: JsonValue | undefined,
    command: string,
    parent: ReplyValue | undefined,
    key: string,
  ) {
    this.raw = raw;
    this.#command = command;
    this.#parent = parent;
    this.#key = key;
  }

  /** The whole `return` of a command. */
  static of(command: string, raw: JsonValue): ReplyValue {
    return new ReplyValue(raw, command, undefined, 'return');
  }

  /** A member of an object; absent members are values whose `raw` is undefined. */
  member(name: string): ReplyValue {
    if (!isJsonObject(this.raw)) throw this.refuse('an object');
    return new ReplyValue(this.raw[name], this.#command, this, `.${name}`);
  }

  /** A member that may be absent; `null` counts as absent. */
  optional(name: string): ReplyValue | undefined {
    const value = this.member(name);
    return value.raw === undefined || value.raw === null ? undefined : value;
  }

  items(): readonly ReplyValue[] {
    if (!Array.isArray(this.raw)) throw this.refuse('a list');
    return (this.raw as readonly JsonValue[]).map(
      (item, index) => new ReplyValue(item, this.#command, this, `[${index}]`),
    );
  }

  string(): string {
    if (typeof this.raw !== 'string') throw this.refuse('text');
    return this.raw;
  }

  boolean(): boolean {
    if (typeof this.raw !== 'boolean') throw this.refuse('true or false');
    return this.raw;
  }

  /** An integer from `low` to `high`, both safe. */
  integer(low: number, high: number): number {
    const { raw } = this;
    if (typeof raw !== 'number' || !Number.isSafeInteger(raw) || raw < low || raw > high) {
      throw this.refuse(`an integer from ${low} to ${high}`);
    }
    return raw;
  }

  /** An integer from `low` (default 0) to 2^64 - 1, never rounded. */
  uint64(low = 0n): bigint {
    const { raw } = this;
    const isInteger = typeof raw === 'bigint' || Number.isSafeInteger(raw);
    // Number.isSafeInteger is true for numbers only.
    const value = isInteger ? BigInt(raw as number | bigint) : undefined;
    if (value === undefined || value < low || value > UINT64_MAX) {
      throw this.refuse(`an integer from ${low} to 2^64 - 1`);
    }
    return value;
  }

  /**
   * An address of 64 bits. QEMU keeps addresses in signed members (qapi/pci.json, PciMemoryRange), so the upper
   * half of the address space comes as negative numbers.
   */
  address64(): bigint {
    const { raw } = this;
    const isNegative = typeof raw === 'number' && Number.isSafeInteger(raw) && raw < 0;
    if (isNegative) return BigInt.asUintN(64, BigInt(raw));
    if (typeof raw === 'bigint' && raw < 0n && raw >= INT64_MIN) return BigInt.asUintN(64, raw);
    return this.uint64();
  }

  /** The error for a value that is not as expected. */
  refuse(expected: string): ProtocolError {
    return new ProtocolError(
      'PROTOCOL',
      `${this.#command}: ${excerpt(this.#place())} must be ${expected}, not ${show(this.raw)}`,
      { details: { command: this.#command, member: excerpt(this.#place()) } },
    );
  }

  #place(): string {
    return (this.#parent ? this.#parent.#place() : '') + this.#key;
  }
}

function show(value: JsonValue | undefined): string {
  if (value === undefined) return 'absent';
  if (value === null) return 'null';
  if (typeof value === 'string') return excerpt(JSON.stringify(value), 40);
  if (typeof value === 'object') return Array.isArray(value) ? 'a list' : 'an object';
  return String(value);
}
