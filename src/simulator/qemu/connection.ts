import type { Clock } from '../../clock.js';
import type { FileSender, OpenFile, QmpTransport, TransportHandlers } from '../../qmp/transport.js';
import type { Random } from '../random.js';

/** The server's end of one client's connection. */
export interface ServerEnd {
  /** @param file came with the first of the bytes. */
  onBytes(data: Uint8Array, file?: OpenFile): void;
  onGone(): void;
}

export interface ConnectionOptions {
  readonly address: string;
  readonly clock: Clock;
  readonly random: Random;
  /** Longest time a message is on its way, in ms. */
  readonly latencyMs: number;
  /** How what QEMU writes reaches the client. Default `whole`. */
  readonly chunks: Chunking;
  /** Called for every piece the client sends: whether it reaches QEMU, and whether anything else does. */
  readonly onSend: (data: Uint8Array) => 'deliver' | 'cut' | 'deliver-and-cut';
}

export type Chunking = 'whole' | 'random' | 'bytes';

/**
 * A byte pipe between a client and a monitor. Each direction keeps its order; what is on its way
 * when one side closes still arrives, unless the connection is cut.
 */
export class Connection implements QmpTransport {
  readonly address: string;
  readonly #options: ConnectionOptions;
  #server: ServerEnd | undefined;
  #handlers: TransportHandlers | undefined;
  /** Written before `start`, or before a server end was there. */
  readonly #undelivered: Uint8Array[] = [];
  readonly #unread: { readonly data: Uint8Array; readonly file: OpenFile | undefined }[] = [];
  /** The client may send and is delivered to. */
  #open = true;
  /** Nothing arrives anywhere any more. */
  #lost = false;
  #closeTold = false;
  #arrivalMs = { toClient: 0, toServer: 0 };
  /** On its way, in the order in which it was sent. */
  readonly #inTransit = { toClient: [] as (() => void)[], toServer: [] as (() => void)[] };

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.address = options.address;
  }

  get open(): boolean {
    return this.#open;
  }

  // The client's side

  readonly files: FileSender = {
    obstacle: () => Promise.resolve(undefined),
    send: (data, file) => this.send(data, file),
  };

  /** A file goes along as it is: there is no kernel between the two ends. */
  async send(data: Uint8Array, file?: OpenFile): Promise<void> {
    if (!this.#open) throw new Error(`${this.address} is closed`);
    const fate = this.#options.onSend(data);
    if (fate === 'cut') {
      this.cut(new Error('connection reset'));
      return;
    }
    this.#deliver('toServer', () => {
      if (this.#server) this.#server.onBytes(data, file);
      else this.#unread.push({ data, file });
      if (fate === 'deliver-and-cut') this.cut(new Error('connection reset'));
    });
  }

  start(handlers: TransportHandlers): void {
    this.#handlers = handlers;
    for (const data of this.#undelivered.splice(0)) handlers.onData(data);
    if (!this.#open) this.#tellClose(undefined);
  }

  /** What was sent before still reaches QEMU. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#deliver('toServer', () => {
      this.#server?.onGone();
    });
    this.#options.clock.after(0, () => {
      this.#tellClose(undefined);
    });
  }

  // The server's side

  /** QEMU begins to serve this client. */
  serve(server: ServerEnd): void {
    this.#server = server;
    for (const { data, file } of this.#unread.splice(0)) server.onBytes(data, file);
  }

  write(text: string): void {
    if (!this.#open) return;
    for (const piece of this.#cut(Buffer.from(text))) {
      this.#deliver('toClient', () => {
        if (!this.#open) return;
        if (this.#handlers) this.#handlers.onData(piece);
        else this.#undelivered.push(piece);
      });
    }
  }

  /** The connection breaks: what is on its way, in either direction, is lost. */
  cut(reason?: Error): void {
    if (this.#lost) return;
    this.#lost = true;
    this.#open = false;
    this.#options.clock.after(0, () => {
      this.#server?.onGone();
      this.#tellClose(reason);
    });
  }

  /** QEMU closes: what it wrote arrives first. */
  finish(): void {
    this.#deliver('toClient', () => {
      this.#open = false;
      this.#server?.onGone();
      this.#tellClose(undefined);
    });
  }

  #tellClose(reason: Error | undefined): void {
    if (this.#closeTold || !this.#handlers) return;
    this.#closeTold = true;
    this.#handlers.onClose(reason);
  }

  #deliver(direction: 'toClient' | 'toServer', action: () => void): void {
    const { clock, random, latencyMs } = this.#options;
    const earliestMs = clock.now() + random.next() * latencyMs;
    const atMs = Math.max(this.#arrivalMs[direction], earliestMs);
    this.#arrivalMs[direction] = atMs;
    this.#inTransit[direction].push(action);
    // In real time the clock goes on between two looks at it, so that two timers can change places.
    clock.after(atMs - clock.now(), () => {
      const first = this.#inTransit[direction].shift();
      if (!this.#lost) first?.();
    });
  }

  #cut(data: Uint8Array): readonly Uint8Array[] {
    const { chunks, random } = this.#options;
    if (chunks === 'whole') return [data];
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < data.length;) {
      const length = chunks === 'bytes' ? 1 : random.integer(1, data.length - at);
      pieces.push(data.subarray(at, at + length));
      at += length;
    }
    return pieces;
  }
}
