import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { systemClock, type Clock } from '../clock.js';
import { ConnectError, QmpError } from '../errors.js';
import { DEFAULT_CONNECT_DEADLINE_MS, type ConnectOptions } from './connect-options.js';
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
  #handlers: TransportHandlers | undefined;
  #reason: Error | undefined;
  #ended = false;
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
      this.#reason ??= error;
    });
    socket.on('close', () => {
      this.#ended = true;
      this.#handlers?.onClose(this.#reason);
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
    this.#handlers = handlers;
    if (this.#ended) {
      queueMicrotask(() => {
        handlers.onClose(this.#reason);
      });
      return;
    }
    this.#socket.on('data', (data: Uint8Array) => {
      handlers.onData(data);
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
export function openSocket(
  target: NetConnectOpts,
  address: string,
  options: ConnectOptions,
): Promise<Socket> {
  const { deadlineMs = DEFAULT_CONNECT_DEADLINE_MS, signal, clock = systemClock } = options;
  if (signal?.aborted) return Promise.reject(connectAborted(address, signal));
  return new Promise((resolve, reject) => {
    const socket = connect(target);
    const settle = () => {
      cancelDeadline();
      signal?.removeEventListener('abort', onAbort);
      socket.removeListener('connect', onConnect);
      socket.removeListener('error', onError);
    };
    const fail = (error: Error) => {
      settle();
      // Whatever a dying socket still has to say is of no interest.
      socket.on('error', () => undefined);
      socket.destroy();
      reject(error);
    };
    const onConnect = () => {
      settle();
      resolve(socket);
    };
    const onError = (error: Error) => {
      fail(error);
    };
    const onAbort = () => {
      fail(connectAborted(address, signal));
    };
    const cancelDeadline = clock.after(deadlineMs, () => {
      fail(
        new ConnectError('CONNECT_FAILED', `${address}: no connection within ${deadlineMs} ms`, {
          details: { address },
        }),
      );
    });
    socket.on('connect', onConnect);
    socket.on('error', onError);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

export function connectAborted(address: string, signal: AbortSignal | undefined): QmpError {
  return new QmpError('ABORTED', `${address}: connecting was given up`, {
    cause: signal?.reason,
    details: { address, sent: false },
  });
}
