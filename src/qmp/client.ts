import { systemClock, type Clock } from '../clock.js';
import { InputError, ProtocolError, QmplugError, QmpError } from '../errors.js';
import { parseJson, type JsonObject, type JsonValue } from '../json.js';
import { silentLogger, type Logger } from '../logger.js';
import { excerpt } from '../text.js';
import { checkCommand } from './allow-list.js';
import { CommandQueue } from './command-queue.js';
import { COMMAND_DEADLINES_MS } from './deadlines.js';
import { EventHub } from './event-hub.js';
import { JsonFramer } from './framer.js';
import {
  badGreeting,
  monitorGone,
  negotiationFailed,
  noGreeting,
  notReady,
  openingAborted,
  silentPeer,
} from './session-errors.js';
import type { SessionOptions } from './session-options.js';
import type { ExecuteOptions, QemuVersion, QmpEvent, QmpSession } from './session.js';
import { StrayReplies } from './stray-replies.js';
import type { OpenFile, QmpTransport } from './transport.js';
import { noFdPassing } from './unix-files.js';
import { readMessage, writeRequest, type QmpMessage } from './wire.js';

/**
 * The life of a session:
 *
 *   idle -> connecting -> greeting -> negotiating -> ready -> closing -> closed
 *
 * From every state but `closed` a failure or `close()` leads to `closing`. Commands of the
 * caller are taken in `ready` only.
 */
export type SessionState =
  'idle' | 'connecting' | 'greeting' | 'negotiating' | 'ready' | 'closing' | 'closed';

type Greeting = Extract<QmpMessage, { readonly kind: 'greeting' }>;

const HANDSHAKE_DEADLINE_MS = 5_000;
/** Time for a transport to report its end after `close()`. */
const CLOSE_GRACE_MS = 2_000;
/** Requests that QEMU queues once `oob` is enabled (monitor/monitor-internal.h, 7.2 to 10.2). */
const OOB_WINDOW = 8;
/** Events of QEMU have a few hundred bytes; queues of them are bounded by count, so by this. */
const MAX_EVENT_LENGTH = 64 * 1024;

/** A QMP session over any transport; made by `openSession` and `connectQmp` (connect.ts). */
export class QmpClient implements QmpSession {
  readonly address: string;
  readonly closed: Promise<Error | undefined>;
  readonly #options: SessionOptions;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #queue: CommandQueue;
  readonly #events: EventHub;
  readonly #framer: JsonFramer;
  readonly #strays: StrayReplies;
  #state: SessionState = 'idle';
  #transport: QmpTransport | undefined;
  #greeting: Greeting | undefined;
  #greeted: (greeting: Greeting) => void = () => undefined;
  /** Ends the handshake; harmless after it. */
  #handshakeFailed: (error: Error) => void = () => undefined;
  #reason: Error | undefined;
  #resolveClosed: (reason: Error | undefined) => void = () => undefined;
  #cancelGrace: () => void = () => undefined;

  /** @internal */
  static async open(
    address: string,
    connect: () => Promise<QmpTransport>,
    options: SessionOptions,
  ): Promise<QmpClient> {
    const client = new QmpClient(address, options);
    try {
      await client.#open(connect);
    } catch (error) {
      throw namingCaller(error);
    }
    return client;
  }

  private constructor(address: string, options: SessionOptions) {
    this.address = address;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#logger = options.logger ?? silentLogger;
    this.#events = new EventHub(this.#logger);
    if (options.onEvent) this.#events.add(options.onEvent);
    this.#framer = new JsonFramer(
      (text) => {
        this.#onMessage(text);
      },
      { maxMessageBytes: options.maxMessageBytes },
    );
    const strays = new StrayReplies(address, this.#logger, options.onLateReply);
    this.#strays = strays;
    this.#queue = new CommandQueue({
      clock: this.#clock,
      send: (line, file) => {
        this.#send(line, file);
      },
      onLateReply: (late) => {
        strays.addLate(late);
      },
    });
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  get state(): SessionState {
    return this.#state;
  }

  get version(): QemuVersion {
    if (!this.#greeting) throw new QmpError('NOT_CONNECTED', `${this.address}: no greeting yet`);
    return this.#greeting.version;
  }

  /** What a peer sent that belongs to nothing; both stay 0 with a genuine QEMU and no timeouts. */
  get stats(): { readonly unknownReplyCount: number; readonly lateReplyCount: number } {
    const { unknownCount, lateCount } = this.#strays;
    return { unknownReplyCount: unknownCount, lateReplyCount: lateCount };
  }

  async execute(
    command: string,
    args?: JsonObject,
    options: ExecuteOptions = {},
  ): Promise<JsonValue> {
    checkCommand(command, args);
    if (this.#state !== 'ready') throw notReady(command, this.#state, this.#reason);
    const { signal, deadlineMs = COMMAND_DEADLINES_MS[command], file } = options;
    if (!(deadlineMs > 0)) {
      throw new InputError('BAD_ARGUMENT', `${command}: a deadline of ${deadlineMs} ms`);
    }
    const writeLine = (id: number) => writeRequest(command, args, id);
    try {
      if (file !== undefined) await this.#requireFiles();
      return await this.#queue.run({ name: command, args, writeLine, file, deadlineMs, signal });
    } catch (error) {
      throw namingCaller(error);
    }
  }

  async fileObstacle(): Promise<string | undefined> {
    const { files } = this.#transport ?? {};
    return files === undefined ? 'only a unix socket carries descriptors' : files.obstacle();
  }

  async #requireFiles(): Promise<void> {
    const obstacle = await this.fileObstacle();
    if (obstacle !== undefined) throw noFdPassing(this.address, obstacle);
  }

  onEvent(listener: (event: QmpEvent) => void): () => void {
    return this.#events.add(listener);
  }

  async close(): Promise<void> {
    this.#end(undefined);
    await this.closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #open(connect: () => Promise<QmpTransport>): Promise<void> {
    const { signal } = this.#options;
    const onAbort = () => {
      this.#end(openingAborted(this.address, signal));
    };
    try {
      this.#state = 'connecting';
      this.#transport = await connect();
      if (signal?.aborted) throw openingAborted(this.address, signal);
      signal?.addEventListener('abort', onAbort, { once: true });
      await this.#handshake(this.#transport);
    } catch (error) {
      this.#end(error as Error);
      await this.closed;
      throw error;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  async #handshake(transport: QmpTransport): Promise<void> {
    const failed = new Promise<never>((_, reject) => {
      this.#handshakeFailed = reject;
    });
    // The race below sees it; when the handshake is over nobody needs to.
    failed.catch(() => undefined);
    const greeted = new Promise<Greeting>((resolve) => {
      this.#greeted = resolve;
    });

    this.#state = 'greeting';
    const deadlineMs = this.#options.greetingDeadlineMs ?? HANDSHAKE_DEADLINE_MS;
    const cancelDeadline = this.#clock.after(deadlineMs, () => {
      this.#end(silentPeer(this.address, deadlineMs));
    });
    try {
      transport.start({
        onData: (data) => {
          this.#onData(data);
        },
        onClose: (reason) => {
          this.#onTransportClose(reason);
        },
      });
      this.#greeting = await Promise.race([greeted, failed]);
    } finally {
      cancelDeadline();
    }

    const oob = this.#greeting.oob;
    try {
      await Promise.race([this.#negotiate(oob), failed]);
    } catch (cause) {
      if (this.#isAborted(cause)) throw cause;
      throw negotiationFailed(this.address, cause);
    }
    this.#setReady(oob);
  }

  async #negotiate(oob: boolean): Promise<void> {
    const name = 'qmp_capabilities';
    const args = oob ? { enable: ['oob'] } : undefined;
    await this.#queue.run({
      name,
      args,
      writeLine: (id) => writeRequest(name, args, id),
      deadlineMs: this.#options.negotiationDeadlineMs ?? HANDSHAKE_DEADLINE_MS,
      signal: undefined,
    });
  }

  #setReady(oob: boolean): void {
    if (this.#state !== 'negotiating') return;
    this.#state = 'ready';
    this.#queue.window = oob ? OOB_WINDOW : 1;
  }

  #onData(data: Uint8Array): void {
    if (this.#isOver()) return;
    try {
      this.#framer.push(data);
    } catch (error) {
      this.#end(error as Error);
    }
  }

  #onMessage(text: string): void {
    // One chunk may hold more messages than the session lives to see.
    if (this.#isOver()) return;
    let message: QmpMessage;
    try {
      message = readMessage(parseJson(text));
    } catch (error) {
      throw error instanceof ProtocolError
        ? error
        : new ProtocolError('PROTOCOL', 'A message is not JSON', { cause: error });
    }
    if (this.#state === 'greeting' && message.kind !== 'greeting') {
      // What QEMU still had to say to a client that went in the middle of its command, it says to the
      // next one, if that comes at the right moment (seen with 7.2.22).
      if (message.kind !== 'event') this.#strays.addUnknown(message.id);
      return;
    }
    switch (message.kind) {
      case 'greeting':
        this.#onGreeting(message);
        break;
      case 'event':
        if (text.length > MAX_EVENT_LENGTH) {
          throw new ProtocolError('MESSAGE_TOO_LARGE', `An event has ${text.length} characters`);
        }
        this.#events.emit(message.event);
        break;
      case 'return':
        this.#onReply(message);
        break;
      case 'error':
        if (message.id === undefined) {
          // QEMU could not even read the id: what it has read is not what was sent.
          throw new ProtocolError(
            'PROTOCOL',
            `QEMU reports a broken stream: ${excerpt(message.error.desc)}`,
          );
        }
        this.#onReply(message);
        break;
    }
  }

  #onGreeting(greeting: Greeting): void {
    if (this.#state !== 'greeting') {
      throw new ProtocolError('PROTOCOL', 'A second greeting: the peer has started over');
    }
    this.#state = 'negotiating';
    this.#greeted(greeting);
  }

  #onReply(reply: Extract<QmpMessage, { readonly kind: 'return' | 'error' }>): void {
    const fate = this.#queue.answer(reply.id, reply);
    if (fate === 'unknown') this.#strays.addUnknown(reply.id);
  }

  #send(line: string, file: OpenFile | undefined): void {
    // Without a transport no command gets as far as this, nor one with a file where those cannot go.
    const transport = this.#transport;
    const data = Buffer.from(line);
    const sent = file === undefined ? transport?.send(data) : transport?.files?.send(data, file);
    sent?.catch((error: unknown) => {
      this.#end(monitorGone(this.address, error as Error));
    });
  }

  #onTransportClose(reason: Error | undefined): void {
    const isMute = this.#state === 'greeting';
    this.#end(isMute ? noGreeting(this.address, reason) : monitorGone(this.address, reason));
    this.#finish();
  }

  /** The one way out: tells everybody, once, and closes the transport. */
  #end(reason: Error | undefined): void {
    if (this.#isOver()) return;
    const isBadGreeting = this.#state === 'greeting' && reason instanceof ProtocolError;
    this.#reason = isBadGreeting ? badGreeting(this.address, reason) : reason;
    this.#state = 'closing';
    this.#handshakeFailed(this.#reason ?? monitorGone(this.address, undefined));
    this.#queue.fail(this.#reason);
    if (!this.#transport) {
      this.#finish();
      return;
    }
    this.#cancelGrace = this.#clock.after(CLOSE_GRACE_MS, () => {
      this.#finish();
    });
    this.#transport.close();
  }

  #finish(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#cancelGrace();
    this.#resolveClosed(this.#reason);
  }

  #isOver(): boolean {
    return this.#state === 'closing' || this.#state === 'closed';
  }

  #isAborted(error: unknown): boolean {
    return error instanceof QmpError && error.code === 'ABORTED';
  }
}

/**
 * Errors of a session are made where an answer or a timer comes in, far from the caller. Taken
 * anew after an `await`, the stack goes on with those who wait: V8 keeps that for nothing, while
 * a stack taken at every call costs as much as the rest of the command.
 */
function namingCaller(error: unknown): unknown {
  if (error instanceof QmplugError) Error.captureStackTrace(error, namingCaller);
  return error;
}
