import type { Socket } from 'node:net';
import type { Clock } from '../clock.js';
import { QmpError, RefusedError } from '../errors.js';
import { loadSendWithFile, type SendWithFile } from './pass-file.js';
import type { OpenFile } from './transport.js';

/** While the socket's buffer is full: Node tells of room only to its own writes. */
const FIRST_PAUSE_MS = 1;
const LONGEST_PAUSE_MS = 50;

/** Where the bytes of a message go that was taken by half. */
type Write = (data: Uint8Array) => Promise<void>;

/** Sends open files over a unix socket. Only for its owner, who sees to it that nothing else is being written. */
export class UnixFiles {
  readonly #address: string;
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #load: typeof loadSendWithFile;
  #loaded: Promise<SendWithFile | string> | undefined;

  constructor(options: {
    readonly address: string;
    readonly socket: Socket;
    readonly clock: Clock;
    readonly load?: typeof loadSendWithFile | undefined;
  }) {
    this.#address = options.address;
    this.#socket = options.socket;
    this.#clock = options.clock;
    this.#load = options.load ?? loadSendWithFile;
  }

  async obstacle(): Promise<string | undefined> {
    const loaded = await this.#sender();
    if (typeof loaded === 'string') return loaded;
    return this.#descriptor() === undefined
      ? 'this version of Node does not tell the descriptor of a socket'
      : undefined;
  }

  /**
   * Sends it all: the file goes with the first byte, and what the kernel did not take at once is written as usual.
   *
   * @throws {RefusedError} `NO_FD_PASSING`. @throws {QmpError} `NOT_SENT`.
   */
  async send(data: Uint8Array, file: OpenFile, write: Write): Promise<void> {
    const sender = await this.#sender();
    if (typeof sender === 'string') throw noFdPassing(this.#address, sender);
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      const socket = this.#descriptor();
      if (socket === undefined) throw this.#notSent('the socket is closed');
      // Nothing comes between this look and the call, so the number is still that of the file.
      if (file.fd < 0) throw this.#notSent('the file that was to go along is closed');
      const result = sender(socket, data, file.fd);
      if ('sentBytes' in result) {
        if (result.sentBytes < data.length) await write(data.subarray(result.sentBytes));
        return;
      }
      if (!['EAGAIN', 'EINTR', 'ENOBUFS'].includes(result.errno)) {
        throw this.#notSent(`sendmsg: ${result.errno}`);
      }
      await new Promise<void>((resolve) => {
        this.#clock.after(pauseMs, resolve);
      });
    }
  }

  #sender(): Promise<SendWithFile | string> {
    this.#loaded ??= this.#load();
    return this.#loaded;
  }

  /**
   * Node keeps the number to itself; `_handle.fd` is undocumented and there since 0.10. Undefined once the socket
   * is closed.
   */
  #descriptor(): number | undefined {
    const { _handle: handle } = this.#socket as Socket & {
      readonly _handle?: { readonly fd?: unknown } | null;
    };
    const fd = handle?.fd;
    return typeof fd === 'number' && fd >= 0 ? fd : undefined;
  }

  #notSent(why: string): QmpError {
    return new QmpError('NOT_SENT', `${this.#address}: a message with a file was not sent: ${why}`);
  }
}

/** Files cannot go to QEMU this way. */
export function noFdPassing(address: string, why: string): RefusedError {
  return new RefusedError('NO_FD_PASSING', `${address}: no descriptor can be passed: ${why}`, {
    remedy:
      'reach QEMU by a unix socket, with koffi installed (npm install koffi), or let it open the device itself',
    details: { address, why },
  });
}
