import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { systemClock } from '../clock.js';
import { ConnectError, QmpError } from '../errors.js';
import { DEFAULT_CONNECT_DEADLINE_MS, type ConnectOptions } from './connect-options.js';
import type { QmpTransport, TransportHandlers } from './transport.js';

/** A connected unix or TCP socket as a transport. */
export class SocketTransport implements QmpTransport {
  readonly address: string;
  readonly #socket: Socket;
  #handlers: TransportHandlers | undefined;
  #reason: Error | undefined;
  #ended = false;

  /** Takes the socket over. It must be paused: nothing reads before `start`. */
  constructor(address: string, socket: Socket) {
    this.address = address;
    this.#socket = socket;
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
