import {
  appendFileSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  unlinkSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { StateStore } from './state-store.js';

function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}

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
 */
export function createFileStore(root: string): StateStore {
  let madeCount = 0;
  const at = (name: string) => join(root, name);
  const makeRoomFor = (name: string) => {
    mkdirSync(dirname(at(name)), { recursive: true, mode: 0o700 });
  };

  return {
    location: root,
    async list(folder) {
      return orWhenMissing(() => readdirSync(at(folder)), []).filter(
        (name) => !name.startsWith('.'),
      );
    },
    async read(name) {
      return orWhenMissing<string | undefined>(() => readFileSync(at(name), 'utf8'), undefined);
    },
    async append(name, text) {
      appendFileSync(at(name), text);
    },
    async create(name, text) {
      makeRoomFor(name);
      // A link is made whole or not at all, and refuses an existing name: rename would replace it.
      madeCount += 1;
      const draft = join(dirname(at(name)), `.draft-${process.pid}-${madeCount}`);
      writeFileSync(draft, text, { mode: 0o600 });
      try {
        linkSync(draft, at(name));
        return true;
      } catch (error) {
        if (errnoOf(error) === 'EEXIST') return false;
        throw error;
      } finally {
        unlinkSync(draft);
      }
    },
    async rename(from, to) {
      renameSync(at(from), at(to));
    },
    async remove(name) {
      return orWhenMissing(() => {
        rmSync(at(name));
        return true;
      }, false);
    },
    watch(folder, onChange) {
      mkdirSync(at(folder), { recursive: true, mode: 0o700 });
      const watcher = watch(at(folder), { persistent: false }, onChange);
      watcher.on('error', onChange);
      return () => {
        watcher.close();
      };
    },
  };
}
