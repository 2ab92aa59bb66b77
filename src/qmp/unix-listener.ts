import { lstat, unlink } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { InputError, RefusedError } from '../errors.js';
import { formatAddress, parseAddress } from './address.js';

/** A unix socket that is listened on; iterating gives its clients, each as it connected. */
export interface UnixListener extends AsyncIterable<Socket>, AsyncDisposable {
  readonly address: string;
  /** Ends the iteration, drops clients that nobody has taken, and removes the socket; idempotent. */
  close(): Promise<void>;
}

/**
 * Whoever can open a monitor has the rights of QEMU's user, so the socket is for this user alone
 * (0177 leaves rw-------).
 */
const PRIVATE_UMASK = 0o177;

/**
 * Listens as QEMU's `-qmp unix:PATH,server=on` does. A socket file that nobody listens on any more is
 * replaced; anything else at the path is left alone.
 *
 * @param where `unix:PATH`, or a path.
 * @throws {InputError} `BAD_ADDRESS`
 * @throws {RefusedError} `LISTEN_FAILED`: somebody listens there, or the path cannot be used.
 */
export async function listenUnix(where: string): Promise<UnixListener> {
  const path = socketPath(where);
  const address = `unix:${path}`;
  const clients = new ClientQueue();
  // A client that half-closes still gets its answers, and nothing is read before somebody serves it.
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    // An error of a client is its own end, and nobody else's.
    socket.on('error', () => undefined);
    clients.add(socket);
  });
  try {
    await bind(server, path);
  } catch (cause) {
    if (!isErrno(cause, 'EADDRINUSE') || !(await isDead(path))) throw cannot(address, cause);
    await unlink(path);
    await bind(server, path).catch((error: unknown) => {
      throw cannot(address, error);
    });
  }
  const close = async () => {
    clients.end();
    // Connections that are being served end by themselves; only the socket goes now.
    if (server.listening) server.close();
  };
  return {
    address,
    close,
    [Symbol.asyncIterator]: () => clients,
    [Symbol.asyncDispose]: close,
  };
}

/**
 * A path as people write one for a socket: also a relative one, without `unix:`.
 *
 * @throws {InputError} `BAD_ADDRESS`
 */
export function socketPath(where: string): string {
  const isPath = where !== '' && !where.startsWith('/') && !/^[a-z]+:/i.test(where);
  const parsed = parseAddress(isPath ? `unix:${where}` : where);
  if (parsed.kind === 'unix') return parsed.path;
  throw new InputError('BAD_ADDRESS', `${formatAddress(parsed)} is no unix socket`, {
    remedy: 'give a path to listen at, for example unix:/run/replay.sock',
  });
}

function bind(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    // The file is made inside this call, with the rights that the umask leaves.
    const umask = process.umask(PRIVATE_UMASK);
    try {
      server.listen({ path }, () => {
        server.off('error', reject);
        resolve();
      });
    } finally {
      process.umask(umask);
    }
  });
}

/**
 * Whether the path is a socket that refuses connections: left behind by a process that was killed. Any other
 * file refuses them too (unix(7)), and is none.
 */
async function isDead(path: string): Promise<boolean> {
  if (!(await lstat(path)).isSocket()) return false;
  return new Promise((resolve) => {
    const probe = connect({ path });
    probe.on('connect', () => {
      probe.destroy();
      resolve(false);
    });
    probe.on('error', (error) => {
      resolve(isErrno(error, 'ECONNREFUSED'));
    });
  });
}

const isErrno = (error: unknown, errno: string) => (error as NodeJS.ErrnoException).code === errno;

function cannot(address: string, cause: unknown): RefusedError {
  const taken = isErrno(cause, 'EADDRINUSE');
  const { code: errno = 'unknown' } = cause as NodeJS.ErrnoException;
  const why = taken ? 'something is there already' : errno;
  return new RefusedError('LISTEN_FAILED', `Cannot listen at ${address}: ${why}`, {
    cause,
    remedy: 'choose another path, in a directory that exists and may be written',
    details: { address, errno },
  });
}

/** Clients in the order in which they connected. */
class ClientQueue implements AsyncIterableIterator<Socket> {
  readonly #waiting: Socket[] = [];
  readonly #takers: ((result: IteratorResult<Socket, undefined>) => void)[] = [];
  #ended = false;

  add(socket: Socket): void {
    const taker = this.#takers.shift();
    if (this.#ended) socket.destroy();
    else if (taker) taker({ done: false, value: socket });
    else this.#waiting.push(socket);
  }

  end(): void {
    this.#ended = true;
    for (const socket of this.#waiting.splice(0)) socket.destroy();
    for (const taker of this.#takers.splice(0)) taker({ done: true, value: undefined });
  }

  next(): Promise<IteratorResult<Socket, undefined>> {
    const socket = this.#waiting.shift();
    if (socket) return Promise.resolve({ done: false, value: socket });
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => {
      this.#takers.push(resolve);
    });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
