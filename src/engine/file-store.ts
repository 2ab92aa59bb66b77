import {
  appendFileSync,
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  unlinkSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { RefusedError } from '../errors.js';
import type { StateStore } from './state-store.js';

function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}

function fsyncPath(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** What the kernel answers to those who may not. */
const DENIALS = ['EACCES', 'EPERM', 'EROFS', 'ENOTDIR'];

function orWhenMissing<T>(read: () => T, missing: T): T {
  try {
    return read();
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return missing;
    throw error;
  }
}

/**
 * State in a folder, normally on tmpfs. The calls are synchronous underneath: an append there takes
 * about a microsecond, a trip through the thread pool a hundred.
 *
 * Folders are made with mode 0700: what is written names devices and monitors.
 *
 * `durable` is for state that must outlive a power loss: every change is on the disk (fsync of the file, and of
 * its folder where a name comes or goes) before the call returns.
 */
export function createFileStore(
  root: string,
  { durable = false }: { readonly durable?: boolean } = {},
): StateStore {
  let madeCount = 0;
  const settle = (path: string) => {
    if (durable) fsyncPath(path);
  };
  const at = (name: string) => join(root, name);
  /** Who may not use the folder at all learns it at the first lock, before anything is changed. */
  const orDenied = <T>(name: string, work: () => T): T => {
    try {
      return work();
    } catch (cause) {
      const errno = errnoOf(cause) ?? '';
      if (!DENIALS.includes(errno)) throw cause;
      throw new RefusedError('DENIED', `${root}: the state cannot be kept there: ${errno}`, {
        cause,
        remedy: 'run as root, or choose a directory that can be written',
        details: { path: at(name), errno },
      });
    }
  };
  const makeFolder = (name: string) =>
    orDenied(name, () => mkdirSync(at(name), { recursive: true, mode: 0o700 }));

  return {
    location: root,
    async list(folder) {
      const names = orDenied(folder, () => orWhenMissing(() => readdirSync(at(folder)), []));
      return names.filter((name) => !name.startsWith('.'));
    },
    async read(name) {
      return orWhenMissing<string | undefined>(() => readFileSync(at(name), 'utf8'), undefined);
    },
    async append(name, text) {
      appendFileSync(at(name), text);
      settle(at(name));
    },
    async create(name, text) {
      makeFolder(dirname(name));
      // A link is made whole or not at all, and refuses an existing name: rename would replace it.
      madeCount += 1;
      const draft = join(dirname(at(name)), `.draft-${process.pid}-${madeCount}`);
      orDenied(name, () => writeFileSync(draft, text, { mode: 0o600 }));
      settle(draft);
      try {
        linkSync(draft, at(name));
        return true;
      } catch (error) {
        if (errnoOf(error) === 'EEXIST') return false;
        throw error;
      } finally {
        unlinkSync(draft);
        settle(dirname(at(name)));
      }
    },
    async rename(from, to) {
      renameSync(at(from), at(to));
      settle(dirname(at(to)));
    },
    async remove(name) {
      return orWhenMissing(() => {
        rmSync(at(name));
        settle(dirname(at(name)));
        return true;
      }, false);
    },
    watch(folder, onChange) {
      makeFolder(folder);
      const watcher = watch(at(folder), { persistent: false }, onChange);
      watcher.on('error', onChange);
      return () => {
        watcher.close();
      };
    },
  };
}
