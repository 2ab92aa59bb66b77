import { connect, type NetConnectOpts, type Socket } from 'node:net';
import type { Clock } from '../clock.js';
import type { ConnectOptions } from './connect-options.js';
import { Delivery } from './delivery.js';
import { connectAborted, untilOpen } from './opening.js';
import type { loadSendWithFile } from './pass-file.js';
import type { FileSender, OpenFile, QmpTransport, TransportHandlers } from './transport.js';
import { UnixFiles } from './unix-files.js';

/** What sending files takes besides the socket. */
export interface FilePassing {
  readonly clock: Clock;
  readonly load?: typeof loadSendWithFile | undefined;
}

/** A connected unix or TCP socket as a transport. */
export class SocketTransport implements QmpTransport {
  readonly address: string;
  readonly #socket: Socket;
  readonly files: FileSender | undefined;
  readonly #delivery = new Delivery();
  /** While a file is on its way everything else waits: it goes with the first byte of its own message. */
  #lock: Promise<void> | undefined;

  /**
   * Takes the socket over. It must be paused: nothing reads before `start`.
   *
   * @param passing makes it able to send files; only for a unix socket.
   */
  constructor(address: string, socket: Socket, passing?: FilePassing) {
    this.address = address;
    this.#socket = socket;
    this.files = passing && this.#filesOf(new UnixFiles({ address, socket, ...passing }));
    socket.setNoDelay(true);
    socket.on('error', (error) => {
      this.#delivery.failed(error);
    });
    socket.on('close', () => {
      this.#delivery.ended();
    });
  }

  send(data: Uint8Array): Promise<void> {
    return this.#lock === undefined ? this.#write(data) : this.#lock.then(() => this.#write(data));
  }

  #filesOf(files: UnixFiles): FileSender {
    return {
      obstacle: () => files.obstacle(),
      send: (data, file) => this.#alone(() => this.#sendWith(files, data, file)),
    };
  }

  async #sendWith(files: UnixFiles, data: Uint8Array, file: OpenFile): Promise<void> {
    // Until this returns, bytes from before may lie in a buffer of Node's.
    await this.#write(new Uint8Array());
    await files.send(data, file, (rest) => this.#write(rest));
  }

  /** Runs work when all that was sent before is through; what is sent later waits for it. */
  #alone(work: () => Promise<void>): Promise<void> {
    const done = (this.#lock ?? Promise.resolve()).then(work);
    // Who comes next is not concerned by a failure; the caller is.
    const lock = done
      .catch(() => undefined)
      .then(() => {
        if (this.#lock === lock) this.#lock = undefined;
      });
    this.#lock = lock;
    return done;
  }

  #write(data: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.write(data, (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
  }

  start(handlers: TransportHandlers): void {
    this.#delivery.start(handlers, () => {
      this.#socket.on('data', (data: Uint8Array) => {
        handlers.onData(data);
      });
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  endSending(): void {
    this.#socket.end();
  }
}

/**
 * One connect(2). The error is the socket's own, with its errno name as `code`; the callers
 * translate it.
 *
 * @throws {QmpError} `ABORTED`, or {ConnectError} `CONNECT_FAILED` at the deadline.
 */
export async function openSocket(
  target: NetConnectOpts,
  address: string,
  options: ConnectOptions,
): Promise<Socket> {
  if (options.signal?.aborted) throw connectAborted(address, options.signal);
  const socket = connect(target);
  const discard = () => socket.destroy();
  await untilOpen({ address, socket, event: 'connect', discard }, options);
  return socket;
}
