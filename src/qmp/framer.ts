import { isUtf8 } from 'node:buffer';
import { ProtocolError } from '../errors.js';

export interface FramerLimits {
  /**
   * Bytes of one message. Default 16 MiB: the largest genuine reply known, `query-qmp-schema`
   * pretty-printed, is 0.6 MB (QEMU 7.2).
   */
  readonly maxMessageBytes?: number | undefined;
  /** Levels of arrays and objects. Default 1024, the limit of QEMU's own parser. */
  readonly maxDepth?: number | undefined;
  /**
   * Values of one message, counted by commas and opening brackets: what parsing costs in memory
   * goes by them, not by bytes. Default 1 Mi; the schema reply has 0.05 Mi.
   */
  readonly maxValueCount?: number | undefined;
}

export const DEFAULT_MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
const DEFAULT_MAX_DEPTH = 1024;
const DEFAULT_MAX_VALUE_COUNT = 1024 * 1024;

/** A buffer larger than this is given back once its message is complete. */
const KEPT_BUFFER_BYTES = 64 * 1024;

const TAB = 0x09;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/**
 * Cuts a stream of bytes into JSON objects by their nesting, so that line ends and the cuts of
 * the transport mean nothing: with `pretty=on` QEMU spreads one message over many lines, and one
 * read may hold half a message or fifty. Linear in the bytes, whatever their cuts.
 *
 * Only the nesting is looked at; that the text is JSON is for the parser to say.
 */
export class JsonFramer {
  readonly #onMessage: (text: string) => void;
  readonly #maxMessageBytes: number;
  readonly #maxDepth: number;
  readonly #maxValueCount: number;

  /** The start of a message that goes on in a later chunk. */
  #partial: Buffer = Buffer.alloc(0);
  #partialBytes = 0;

  #depth = 0;
  #valueCount = 0;
  #inString = false;
  #escaped = false;
  #failure: ProtocolError | undefined;

  constructor(onMessage: (text: string) => void, limits: FramerLimits = {}) {
    this.#onMessage = onMessage;
    this.#maxMessageBytes = limits.maxMessageBytes ?? DEFAULT_MAX_MESSAGE_BYTES;
    this.#maxDepth = limits.maxDepth ?? DEFAULT_MAX_DEPTH;
    this.#maxValueCount = limits.maxValueCount ?? DEFAULT_MAX_VALUE_COUNT;
  }

  /** Bytes held of a message that is not complete yet. */
  get pendingBytes(): number {
    return this.#partialBytes;
  }

  /**
   * Takes the next bytes and hands over each message that they complete, in order.
   *
   * @throws {ProtocolError} `MESSAGE_TOO_LARGE` past a limit, `PROTOCOL` for bytes between
   * messages, text that is not UTF-8, or nesting past the limit. The framer stays broken after.
   */
  push(chunk: Uint8Array): void {
    if (this.#failure) throw this.#failure;
    const bytes = Buffer.isBuffer(chunk)
      ? chunk
      : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    try {
      this.#scan(bytes);
    } catch (error) {
      if (error instanceof ProtocolError) {
        this.#failure = error;
        this.#partial = Buffer.alloc(0);
        this.#partialBytes = 0;
      }
      throw error;
    }
  }

  #scan(bytes: Buffer): void {
    let start = 0;
    for (let at = 0; at < bytes.length; at++) {
      // The index is in range.
      const byte = bytes[at] as number;
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false;
        else if (byte === BACKSLASH) this.#escaped = true;
        else if (byte === QUOTE) this.#inString = false;
        continue;
      }
      switch (byte) {
        case OPEN_BRACE:
        case OPEN_BRACKET:
          if (this.#depth === 0) {
            if (byte === OPEN_BRACKET) throw strayByte(byte);
            start = at;
          }
          this.#depth += 1;
          this.#valueCount += 1;
          if (this.#depth > this.#maxDepth) {
            throw new ProtocolError('PROTOCOL', `A message nests deeper than ${this.#maxDepth}`);
          }
          break;
        case CLOSE_BRACE:
        case CLOSE_BRACKET:
          if (this.#depth === 0) throw strayByte(byte);
          this.#depth -= 1;
          if (this.#depth === 0) this.#complete(bytes, start, at + 1);
          break;
        case QUOTE:
          if (this.#depth === 0) throw strayByte(byte);
          this.#inString = true;
          break;
        case COMMA:
          if (this.#depth === 0) throw strayByte(byte);
          this.#valueCount += 1;
          break;
        case SPACE:
        case TAB:
        case LINE_FEED:
        case CARRIAGE_RETURN:
          break;
        default:
          if (this.#depth === 0) throw strayByte(byte);
      }
    }
    if (this.#depth > 0) this.#keep(bytes, start, bytes.length);
  }

  #complete(bytes: Buffer, start: number, end: number): void {
    this.#checkSize(this.#partialBytes + end - start);
    let message = bytes.subarray(start, end);
    if (this.#partialBytes > 0) {
      this.#keep(bytes, start, end);
      message = this.#partial.subarray(0, this.#partialBytes);
    }
    if (!isUtf8(message)) throw new ProtocolError('PROTOCOL', 'A message is not UTF-8');
    const text = message.toString('utf8');
    this.#partialBytes = 0;
    this.#valueCount = 0;
    if (this.#partial.length > KEPT_BUFFER_BYTES) this.#partial = Buffer.alloc(0);
    this.#onMessage(text);
  }

  #keep(bytes: Buffer, start: number, end: number): void {
    const needed = this.#partialBytes + end - start;
    this.#checkSize(needed);
    if (needed > this.#partial.length) {
      // Doubling keeps the copying linear even when bytes come one by one.
      const capacity = Math.max(needed, Math.min(2 * this.#partial.length, this.#maxMessageBytes));
      const larger = Buffer.allocUnsafe(Math.max(capacity, 1024));
      this.#partial.copy(larger, 0, 0, this.#partialBytes);
      this.#partial = larger;
    }
    bytes.copy(this.#partial, this.#partialBytes, start, end);
    this.#partialBytes = needed;
  }

  #checkSize(byteCount: number): void {
    if (byteCount > this.#maxMessageBytes) throw tooLarge(`${this.#maxMessageBytes} bytes`);
    if (this.#valueCount > this.#maxValueCount) throw tooLarge(`${this.#maxValueCount} values`);
  }
}

const strayByte = (byte: number) =>
  new ProtocolError(
    'PROTOCOL',
    `Byte 0x${byte.toString(16).padStart(2, '0')} where a message should start`,
    { remedy: 'check that the address is a QMP monitor (QEMU: mode=control, -qmp)' },
  );

const tooLarge = (limit: string) =>
  new ProtocolError('MESSAGE_TOO_LARGE', `A message has more than ${limit}`);
