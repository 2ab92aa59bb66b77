import type { JsonObject, JsonValue } from '../json.js';
import type { OpenFile } from './transport.js';

/** A QMP event as it came; `data` is `{}` where QEMU sends none. */
export interface QmpEvent {
  readonly event: string;
  readonly data: JsonObject;
  /** Milliseconds since the epoch by QEMU's clock; undefined where the host could not tell. */
  readonly timestampMs: number | undefined;
}

export interface ExecuteOptions {
  /** Stops the waiting. The command, once sent, is never un-sent. */
  readonly signal?: AbortSignal | undefined;
  /** Overrides the command's entry in the deadline table. */
  readonly deadlineMs?: number | undefined;
  /** Handed to QEMU along with the command: `getfd`, `add-fd`. To be kept open until the answer is there. */
  readonly file?: OpenFile | undefined;
}

/** QEMU's version as the greeting states it. */
export interface QemuVersion {
  readonly major: number;
  readonly minor: number;
  readonly micro: number;
  readonly package: string;
}

/**
 * A negotiated QMP session: what the layers above see of the client.
 *
 * Commands are sent in the order of the calls. When the peer advertised `oob`, up to eight are
 * outstanding at once; otherwise each waits for the answer before it. Replies go to their own
 * command by id, however late.
 */
export interface QmpSession {
  readonly address: string;
  readonly version: QemuVersion;
  /**
   * Runs one command of the allow-list.
   *
   * @throws {InputError} `COMMAND_NOT_ALLOWED`, `PROPERTY_NOT_ALLOWED`, `BAD_ID`: nothing was sent.
   * @throws {CommandError} QEMU answered with an error.
   * @throws {RefusedError} `NO_FD_PASSING`: a file cannot go along, nothing was sent.
   * @throws {OutcomeUnknownError} no answer in time, or the session ended first.
   * @throws {QmpError} `ABORTED` when the signal fired; whether the command ran is unknown if it was sent.
   */
  execute(command: string, args?: JsonObject, options?: ExecuteOptions): Promise<JsonValue>;
  /** What keeps a file from going along with a command; undefined where nothing does. */
  fileObstacle(): Promise<string | undefined>;
  /**
   * Calls the listener for every event from now on, in order, before any later reply is
   * delivered. A listener that throws is reported to the logger and harms nobody.
   * The returned function ends it.
   */
  onEvent(listener: (event: QmpEvent) => void): () => void;
  /** Resolves when the session has ended, with the reason. Never rejects. */
  readonly closed: Promise<Error | undefined>;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
