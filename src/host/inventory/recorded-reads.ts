import { HostIoError, type HostEffects, type HostStat } from '../effects.js';

/** What one path answered. */
export type RecordedRead =
  | { readonly kind: 'file'; readonly bytes: Uint8Array }
  | { readonly kind: 'link'; readonly target: string }
  | { readonly kind: 'directory'; readonly names: readonly string[] }
  | { readonly kind: 'node'; readonly stat: HostStat }
  /** It could not be read, which is not the same as being absent. */
  | { readonly kind: 'unreadable'; readonly errno: string };

export interface RecordingEffects extends HostEffects {
  /**
   * By canonical path, in the order of the first reading; a directory that was listed by its path and `/.`. What
   * is not there is left out.
   */
  readonly reads: ReadonlyMap<string, RecordedRead>;
}

const ABSENT = ['ENOENT', 'ENODEV', 'ENXIO', 'ESRCH', 'ENOTDIR'];

/** The same host, remembering what it answered; nothing can be written through it. */
export function recordReads(effects: HostEffects): RecordingEffects {
  const reads = new Map<string, RecordedRead>();
  const recorded = async <T>(
    path: string,
    reading: Promise<T>,
    answer: (value: T) => RecordedRead,
  ): Promise<T> => {
    try {
      const value = await reading;
      const seen = reads.get(path);
      // That something is there says less than what is in it.
      const now = answer(value);
      if (seen === undefined || seen.kind === 'node' || isLonger(now, seen)) reads.set(path, now);
      return value;
    } catch (error) {
      if (error instanceof HostIoError && !ABSENT.includes(error.errno) && !reads.has(path)) {
        reads.set(path, { kind: 'unreadable', errno: error.errno });
      }
      throw error;
    }
  };
  const refused = async (path: string): Promise<never> => {
    throw new HostIoError('EROFS', 'write', path);
  };
  return {
    reads,
    read: (path, options) =>
      recorded(path, effects.read(path, options), (text) => ({
        kind: 'file',
        bytes: new TextEncoder().encode(text),
      })),
    readBytes: (path, length) =>
      recorded(path, effects.readBytes(path, length), (bytes) => ({ kind: 'file', bytes })),
    // The path itself may be a link, which is an answer of its own.
    list: (path) =>
      recorded(`${path}/.`, effects.list(path), (names) => ({ kind: 'directory', names })),
    readlink: (path) =>
      recorded(path, effects.readlink(path), (target) => ({ kind: 'link', target })),
    stat: (path) => recorded(path, effects.stat(path), (stat) => ({ kind: 'node', stat })),
    write: refused,
    open: refused,
    chown: refused,
    chmod: refused,
    readAcl: (path) => effects.readAcl(path),
    loadModule: refused,
    readMemlock: (pid) => effects.readMemlock(pid),
    setMemlock: (pid) => refused(`/proc/${pid}/limits`),
    readVfs: (netdev) => effects.readVfs(netdev),
    setVf: refused,
  };
}

function isLonger(now: RecordedRead, seen: RecordedRead): boolean {
  return now.kind === 'file' && seen.kind === 'file' && now.bytes.length > seen.bytes.length;
}
