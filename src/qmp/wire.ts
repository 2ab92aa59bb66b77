import { ProtocolError } from '../errors.js';
import { isJsonObject, stringifyJson, type JsonObject, type JsonValue } from '../json.js';
import { escapeControl, excerpt } from '../text.js';
import type { QemuVersion, QmpEvent } from './session.js';

/** What a peer may say, told apart. */
export type QmpMessage =
  | { readonly kind: 'greeting'; readonly version: QemuVersion; readonly oob: boolean }
  | { readonly kind: 'event'; readonly event: QmpEvent }
  | { readonly kind: 'return'; readonly id: JsonValue | undefined; readonly value: JsonValue }
  | { readonly kind: 'error'; readonly id: JsonValue | undefined; readonly error: ErrorReply };

/** `{"error": ...}` as it came; `desc` may hold any characters. */
export interface ErrorReply {
  readonly class: string;
  readonly desc: string;
}

/**
 * A request as it goes out. QEMU's monitor reads byte by byte, so there are no blanks; it needs
 * no line end either, but a proxy in between might.
 */
export function writeRequest(command: string, args: JsonObject | undefined, id: number): string {
  const body = args === undefined ? '' : `,"arguments":${stringifyJson(args)}`;
  return `{"execute":${JSON.stringify(command)}${body},"id":${id}}\n`;
}

const KINDS = ['QMP', 'event', 'return', 'error'] as const;

/**
 * Tells what a message is and checks its envelope; what is inside a `return` is for the
 * command's own guard.
 *
 * @throws {ProtocolError} `PROTOCOL` for anything that no QMP server says.
 */
export function readMessage(message: JsonValue): QmpMessage {
  if (!isJsonObject(message)) throw broken('a message is not an object');
  const present = KINDS.filter((kind) => message[kind] !== undefined);
  const [kind] = present;
  if (kind === undefined || present.length > 1) {
    const keys = Object.keys(message).slice(0, 8);
    throw broken(`a message has the members ${excerpt(JSON.stringify(keys))}`);
  }
  switch (kind) {
    case 'QMP':
      return readGreeting(message.QMP);
    case 'event':
      return { kind, event: readEvent(message) };
    case 'return':
      return { kind, id: message.id, value: message.return ?? null };
    case 'error':
      return { kind, id: message.id, error: readError(message.error) };
  }
}

function readGreeting(body: JsonValue | undefined): QmpMessage {
  const version = isJsonObject(body) ? body.version : undefined;
  const qemu = isJsonObject(version) ? version.qemu : undefined;
  if (!isJsonObject(body) || !isJsonObject(version) || !isJsonObject(qemu)) {
    throw broken('the greeting has no version');
  }
  const { capabilities = [] } = body;
  if (!Array.isArray(capabilities)) throw broken('the capabilities of the greeting are no list');
  return {
    kind: 'greeting',
    version: {
      major: versionNumber(qemu.major),
      minor: versionNumber(qemu.minor),
      micro: versionNumber(qemu.micro),
      package: typeof version.package === 'string' ? excerpt(version.package) : '',
    },
    oob: (capabilities as readonly JsonValue[]).includes('oob'),
  };
}

function versionNumber(value: JsonValue | undefined): number {
  if (!Number.isInteger(value) || (value as number) < 0 || (value as number) > 9999) {
    throw broken('the greeting has no version numbers');
  }
  // Just checked.
  return value as number;
}

const NO_DATA: JsonObject = Object.freeze(Object.create(null) as JsonObject);

function readEvent(message: JsonObject): QmpEvent {
  const { event, data = NO_DATA, timestamp } = message;
  if (typeof event !== 'string') throw broken('the name of an event is no text');
  if (!isJsonObject(data)) throw broken(`the data of event ${excerpt(event)} is no object`);
  return { event: escapeControl(event), data, timestampMs: readTimestamp(timestamp) };
}

/** QEMU sends -1 in both members when its clock cannot be read (qapi/qmp-event.c). */
function readTimestamp(timestamp: JsonValue | undefined): number | undefined {
  if (!isJsonObject(timestamp)) return undefined;
  const { seconds, microseconds } = timestamp;
  if (!Number.isSafeInteger(seconds) || !Number.isSafeInteger(microseconds)) return undefined;
  // Both were just checked to be numbers.
  const [whole, fraction] = [seconds as number, microseconds as number];
  if (whole < 0 || fraction < 0) return undefined;
  return whole * 1000 + fraction / 1000;
}

function readError(error: JsonValue | undefined): ErrorReply {
  if (!isJsonObject(error) || typeof error.class !== 'string' || typeof error.desc !== 'string') {
    throw broken('an error has no class or no desc');
  }
  return { class: error.class, desc: error.desc };
}

const broken = (reason: string) => new ProtocolError('PROTOCOL', `Not QMP: ${reason}`);
