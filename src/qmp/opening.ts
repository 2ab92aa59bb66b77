import type { EventEmitter } from 'node:events';
import { systemClock } from '../clock.js';
import { ConnectError, QmpError } from '../errors.js';
import { DEFAULT_CONNECT_DEADLINE_MS, type ConnectOptions } from './connect-options.js';

/** A socket that is being connected. */
export interface Opening {
  readonly address: string;
  readonly socket: EventEmitter;
  /** The event that says that it is open. */
  readonly event: 'connect' | 'open';
  /** Runs within that event, before anything else can come. */
  readonly onOpen?: () => void;
  /** Ends a socket that will not be used. */
  readonly discard: () => void;
  readonly remedy?: string;
}

/**
 * Waits until a socket is open; one that fails is discarded. The error of the socket is its own, with its errno
 * name as `code` where it has one.
 *
 * @throws {QmpError} `ABORTED`, or {ConnectError} `CONNECT_FAILED` at the deadline.
 */
export function untilOpen(opening: Opening, options: ConnectOptions): Promise<void> {
  const { address, socket, event, remedy } = opening;
  const { deadlineMs = DEFAULT_CONNECT_DEADLINE_MS, signal, clock = systemClock } = options;
  return new Promise((resolve, reject) => {
    const settle = () => {
      cancelDeadline();
      signal?.removeEventListener('abort', onAbort);
      socket.removeListener(event, onOpen);
      socket.removeListener('error', fail);
    };
    const fail = (error: Error) => {
      settle();
      // Whatever a dying socket still has to say is of no interest.
      socket.on('error', () => undefined);
      opening.discard();
      reject(error);
    };
    const onOpen = () => {
      settle();
      opening.onOpen?.();
      resolve();
    };
    const onAbort = () => {
      fail(connectAborted(address, signal));
    };
    const cancelDeadline = clock.after(deadlineMs, () => {
      const message = `${address}: no connection within ${deadlineMs} ms`;
      fail(new ConnectError('CONNECT_FAILED', message, { remedy, details: { address } }));
    });
    socket.on(event, onOpen);
    socket.on('error', fail);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

export function connectAborted(address: string, signal: AbortSignal | undefined): QmpError {
  return new QmpError('ABORTED', `${address}: connecting was given up`, {
    cause: signal?.reason,
    details: { address, sent: false },
  });
}
