import { posix } from 'node:path';
import type { Owner } from '../engine/owner.js';
import { HostIoError, type HostEffects } from './effects.js';
import { describeBlindness } from './holders.js';
import { readOpenFiles, type OpenFiles } from './open-files.js';
import { listProcesses, readProcess } from './process.js';
import { ifPresent, isDenied, isMissing, mapBounded, reasonOf } from './reading.js';
import { sharedLook } from './shared-look.js';

export type SocketProcess = Owner & { readonly command: string };

/** Which process listens on a unix socket. */
export type SocketOwner =
  | { readonly kind: 'one'; readonly process: SocketProcess }
  /** Several share the listening socket, or two sockets carry the same path; none is proven. */
  | { readonly kind: 'several'; readonly processes: readonly SocketProcess[] }
  | { readonly kind: 'none'; readonly reason: string }
  /** Not everything may be seen from here, and that stays so. */
  | { readonly kind: 'unknown'; readonly reason: string }
  /** A look failed that may well succeed the next time. */
  | { readonly kind: 'unreadable'; readonly failure: HostIoError };

interface ListeningSocket {
  readonly inode: string;
  /** As it was bound: possibly relative to the process's directory. */
  readonly path: string;
}

/** Flag of a listening socket: Linux include/linux/net.h, __SO_ACCEPTCON. */
const SO_ACCEPTCON = 0x10000;
const ROW =
  /^[0-9a-f]+: [0-9A-F]{8} [0-9A-F]{8} ([0-9A-F]{8}) [0-9A-F]{4} [0-9A-F]{2} +(\d+) (.*)$/;

/** Listening sockets with a path in /proc/net/unix. */
export function parseListeningSockets(text: string): readonly ListeningSocket[] {
  return text.split('\n').flatMap((line) => {
    const [, flags, inode, path] = ROW.exec(line) ?? [];
    if (flags === undefined || inode === undefined || !path) return [];
    return parseInt(flags, 16) & SO_ACCEPTCON ? [{ inode, path }] : [];
  });
}

/**
 * Finds who listens on a unix socket: the path's inode in /proc/net/unix, then the processes that have
 * that inode open. A VMM may sit in a network namespace of its own, so those of all visible processes
 * are searched. The path may be reached through links and may have been bound relative to
 * the owner's directory.
 */
export async function findSocketOwner(effects: HostEffects, path: string): Promise<SocketOwner> {
  try {
    const wanted = await resolveLinks(effects, path);
    const tables = await readSocketTables(effects);
    const candidates = tables.sockets.filter((socket) => mayBe(socket.path, path, wanted));
    if (candidates.length === 0) {
      if (tables.failure !== undefined) return { kind: 'unreadable', failure: tables.failure };
      return tables.complete
        ? { kind: 'none', reason: `no process listens on ${path}` }
        : { kind: 'unknown', reason: `not every network namespace could be searched for ${path}` };
    }
    const files = await readOpenFiles(effects);
    const processes = await findListeners(effects, { candidates, files, path, wanted });
    const [first, ...others] = processes;
    if (first !== undefined && others.length === 0) return { kind: 'one', process: first };
    if (first !== undefined) {
      return { kind: 'several', processes: processes.toSorted((a, b) => a.pid - b.pid) };
    }
    if (files.failure !== undefined) return { kind: 'unreadable', failure: files.failure };
    const blindness = await describeBlindness(effects, files);
    return blindness === undefined
      ? { kind: 'none', reason: `no process listens on ${path}` }
      : { kind: 'unknown', reason: blindness };
  } catch (error) {
    const reason = reasonOf(error);
    const mayPass = error instanceof HostIoError && !isDenied(error) && !isMissing(error);
    return mayPass ? { kind: 'unreadable', failure: error } : { kind: 'unknown', reason };
  }
}

function mayBe(bound: string, path: string, wanted: string): boolean {
  if (bound === path || bound === wanted) return true;
  return !bound.startsWith('/') && posix.basename(bound) === posix.basename(wanted);
}

async function findListeners(
  effects: HostEffects,
  search: {
    candidates: readonly ListeningSocket[];
    files: OpenFiles;
    path: string;
    wanted: string;
  },
): Promise<readonly SocketProcess[]> {
  const { candidates, files, path, wanted } = search;
  const pids = new Set<number>();
  for (const socket of candidates) {
    for (const pid of files.holders.get(`socket:[${socket.inode}]`) ?? []) {
      const isAbsolute = socket.path === path || socket.path === wanted;
      if (isAbsolute || (await isBoundAt(effects, { pid, bound: socket.path, wanted }))) {
        pids.add(pid);
      }
    }
  }
  const processes = await Promise.all([...pids].map((pid) => readProcess(effects, pid)));
  return processes.filter((each) => each !== undefined);
}

async function isBoundAt(
  effects: HostEffects,
  { pid, bound, wanted }: { pid: number; bound: string; wanted: string },
): Promise<boolean> {
  const directory = await ifPresent(effects.readlink(`/proc/${pid}/cwd`));
  return directory !== undefined && posix.resolve(directory, bound) === wanted;
}

interface SocketTables {
  readonly sockets: readonly ListeningSocket[];
  readonly complete: boolean;
  readonly failure: HostIoError | undefined;
}

/** The tables of our own and of every other visible network namespace. */
const readSocketTables = sharedLook(async (effects): Promise<SocketTables> => {
  const sockets = [...parseListeningSockets(await effects.read('/proc/net/unix'))];
  const own = await ifPresent(effects.readlink('/proc/self/ns/net'));
  const namespaces = new Map<string, number>();
  let complete = true;
  let failure: HostIoError | undefined;
  await mapBounded(await listProcesses(effects), 32, async (pid) => {
    try {
      const namespace = await effects.readlink(`/proc/${pid}/ns/net`);
      if (namespace !== own) namespaces.set(namespace, pid);
    } catch (error) {
      if (isMissing(error)) return;
      complete = false;
      if (error instanceof HostIoError && !isDenied(error)) failure ??= error;
    }
  });
  for (const pid of namespaces.values()) {
    const text = await ifPresent(effects.read(`/proc/${pid}/net/unix`));
    if (text !== undefined) sockets.push(...parseListeningSockets(text));
  }
  return { sockets, complete, failure };
});

const MAX_LINKS = 40;

/** The path with every symbolic link in it followed, as realpath(3) gives it. */
async function resolveLinks(effects: HostEffects, path: string): Promise<string> {
  // An abstract address is no path.
  if (path.startsWith('@')) return path;
  const pending = posix.resolve('/', path).split('/').filter(Boolean);
  let resolved = '/';
  for (let links = 0; pending.length > 0;) {
    const next = posix.join(resolved, pending.shift() ?? '');
    const target = await readLinkOrNone(effects, next);
    if (target === undefined) {
      resolved = next;
      continue;
    }
    links += 1;
    if (links > MAX_LINKS) return path;
    const parts = posix.resolve(resolved, target).split('/').filter(Boolean);
    pending.unshift(...parts);
    resolved = '/';
  }
  return resolved;
}

async function readLinkOrNone(effects: HostEffects, path: string): Promise<string | undefined> {
  try {
    return await effects.readlink(path);
  } catch (error) {
    // EINVAL: it is no link. What may not be followed is taken as it stands.
    const isNoLink = error instanceof HostIoError && error.errno === 'EINVAL';
    if (isNoLink || isMissing(error) || isDenied(error)) return undefined;
    throw error;
  }
}
