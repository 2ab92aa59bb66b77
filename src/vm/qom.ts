import { InputError, ProtocolError } from '../errors.js';
import { known, unknown, type Known } from '../known.js';
import { CommandError } from '../qmp/failures.js';
import { qomGetBoolean, qomGetString, qomGetUint64, qomList } from '../qmp/qom-commands.js';
import type { QmpSession } from '../qmp/session.js';

/**
 * What a look at one place in QEMU's object tree found. `gone`: no such object, normal for a device
 * that left between two reads. `absent`: the object has no such property.
 */
export type Reading<T> =
  | { readonly kind: 'value'; readonly value: T }
  | { readonly kind: 'gone' }
  | { readonly kind: 'absent' }
  | { readonly kind: 'unreadable'; readonly reason: string };

/** Longest text that is believed: QOM paths and host paths have under 200 characters. */
const MAX_TEXT_LENGTH = 4_096;

/**
 * Reads the object tree of a QEMU that may say anything. Its refusals, and answers that cannot be right,
 * become readings; losing the session, or its silence, is thrown.
 */
export class QomReader {
  readonly #session: QmpSession;

  constructor(session: QmpSession) {
    this.#session = session;
  }

  /** Names and types of an object's properties. */
  list(path: string): Promise<Reading<ReadonlyMap<string, string>>> {
    return readingOf(async () => {
      const properties = await qomList(this.#session, path);
      return new Map(properties.map(({ name, type }) => [name, type]));
    });
  }

  text(path: string, property: string): Promise<Reading<string>> {
    return readingOf(async () => {
      const text = await qomGetString(this.#session, path, property);
      if (text.length > MAX_TEXT_LENGTH) throw improbable(property, 'is too long');
      return text;
    });
  }

  boolean(path: string, property: string): Promise<Reading<boolean>> {
    return readingOf(() => qomGetBoolean(this.#session, path, property));
  }

  /** An unsigned integer of at most `bits` bits. */
  unsigned(path: string, property: string, bits: number): Promise<Reading<bigint>> {
    return readingOf(async () => {
      const value = await qomGetUint64(this.#session, path, property);
      if (value >> BigInt(bits) !== 0n) throw improbable(property, `has more than ${bits} bits`);
      return value;
    });
  }
}

async function readingOf<T>(read: () => Promise<T>): Promise<Reading<T>> {
  try {
    return { kind: 'value', value: await read() };
  } catch (error) {
    if (error instanceof CommandError) {
      if (error.failure.kind === 'path-not-found') return { kind: 'gone' };
      if (error.failure.kind === 'property-not-found') return { kind: 'absent' };
      return { kind: 'unreadable', reason: error.message };
    }
    // An answer that cannot be right, or a path of QEMU's own that may not be asked for.
    if (error instanceof ProtocolError || error instanceof InputError) {
      return { kind: 'unreadable', reason: error.message };
    }
    throw error;
  }
}

const improbable = (property: string, what: string) =>
  new ProtocolError('PROTOCOL', `qom-get: ${property} ${what}`);

/** The value as a fact; what is gone or absent is unknown as well. */
export function toKnown<T>(reading: Reading<T>, what: string): Known<T> {
  switch (reading.kind) {
    case 'value':
      return known(reading.value);
    case 'gone':
      return unknown(`${what}: the device is gone`);
    case 'absent':
      return unknown(`${what}: this QEMU does not tell it`);
    case 'unreadable':
      return unknown(reading.reason);
  }
}

/** The value, or undefined where there is none for whatever reason. Only where both mean the same. */
export function valueOf<T>(reading: Reading<T> | undefined): T | undefined {
  return reading?.kind === 'value' ? reading.value : undefined;
}
