import type { Socket } from 'node:net';
import { systemClock, type Clock } from '../clock.js';
import { ConnectError, QmplugError } from '../errors.js';
import { formatAddress, parseAddress } from './address.js';
import { DEFAULT_CONNECT_DEADLINE_MS, type ConnectOptions } from './connect-options.js';
import { connectAborted } from './opening.js';
import { openSocket, SocketTransport } from './socket-transport.js';
import type { QmpTransport } from './transport.js';

/**
 * How long a refused connection is tried again. QEMU makes the socket file before it listens, so
 * a connect in between is refused (seen with 10.0.13); a socket that nobody has listened on for
 * a second is a dead one.
 */
const REFUSED_WINDOW_MS = 1_000;
const FIRST_RETRY_MS = 5;
const LONGEST_RETRY_MS = 100;

/**
 * Connects to a unix socket.
 *
 * @throws {InputError} `BAD_ADDRESS`: the path is empty or longer than 107 bytes.
 * @throws {ConnectError} `CONNECT_FAILED`, or `MONITOR_BUSY` when the listen queue is full.
 * @throws {QmpError} `ABORTED`
 */
export async function connectUnix(
  path: string,
  options: ConnectOptions = {},
): Promise<QmpTransport> {
  // Checks length and content by the rules of every other address.
  const address = formatAddress(parseAddress(`unix:${path}`));
  const { deadlineMs = DEFAULT_CONNECT_DEADLINE_MS, signal, clock = systemClock } = options;
  const started = clock.now();
  for (let pauseMs = FIRST_RETRY_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_RETRY_MS)) {
    const leftMs = Math.max(1, started + deadlineMs - clock.now());
    let socket: Socket;
    try {
      socket = await openSocket({ path }, address, { signal, clock, deadlineMs: leftMs });
    } catch (error) {
      const waitedMs = clock.now() - started;
      const mayRetry = waitedMs + pauseMs < Math.min(REFUSED_WINDOW_MS, deadlineMs);
      if (errnoOf(error) !== 'ECONNREFUSED' || !mayRetry) throw explain(error, address, path);
      await pause(pauseMs, clock, address, signal);
      continue;
    }
    return new SocketTransport(address, socket, { clock });
  }
}

function pause(
  delayMs: number,
  clock: Clock,
  address: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      cancel();
      reject(connectAborted(address, signal));
    };
    const cancel = clock.after(delayMs, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

function errnoOf(error: unknown): string | undefined {
  const { code } = error as NodeJS.ErrnoException;
  return error instanceof QmplugError ? undefined : code;
}

/** What each errno of connect(2) on a unix socket means here; see unix(7). */
const REASONS: Readonly<Record<string, { readonly text: string; readonly remedy: string }>> = {
  ENOENT: {
    text: 'there is no such socket',
    remedy: 'start QEMU with -qmp unix:PATH,server=on,wait=off, or correct the path',
  },
  ECONNREFUSED: {
    text: 'nobody listens on the socket',
    remedy: 'the VM has probably ended; ss -xlp shows the sockets that are listened on',
  },
  EACCES: {
    text: 'no permission to open the socket',
    remedy: 'run as the user of the VM, or give the directory and the socket to a common group',
  },
  EPERM: {
    text: 'no permission to open the socket',
    remedy: 'run as the user of the VM, or give the directory and the socket to a common group',
  },
  ENOTDIR: { text: 'a part of the path is no directory', remedy: 'correct the path' },
  EPROTOTYPE: { text: 'the socket is not a stream socket', remedy: 'correct the path' },
};

function explain(error: unknown, address: string, path: string): Error {
  if (error instanceof QmplugError) return error;
  const errno = errnoOf(error) ?? 'unknown';
  if (errno === 'EAGAIN') {
    // QEMU listens with a backlog of 1: two clients ahead, and the third does not even connect.
    return new ConnectError(
      'MONITOR_BUSY',
      `${address}: other clients hold and await the monitor`,
      {
        cause: error,
        remedy: 'end the other clients, or give QEMU one more -qmp socket for this one',
        details: { address, path },
      },
    );
  }
  const reason = REASONS[errno];
  return new ConnectError('CONNECT_FAILED', `${address}: ${reason?.text ?? errno}`, {
    cause: error,
    remedy: reason?.remedy,
    details: { address, path, errno },
  });
}
