import { randomBytes } from 'node:crypto';
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
  rmdirSync,
  rmSync,
  unlinkSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { RefusedError } from '../errors.js';
import { noRoomFor, stateFailure, unreadableState, type StateStore } from './state-store.js';

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

/** What it answers where a folder has something in it, or is gone already. */
const STILL_IN_USE = ['ENOTEMPTY', 'EEXIST', 'ENOENT'];
const MOST_TRIES = 100;

/** `locks/vm-…/` has the deepest files. */
const DEEPEST_FOLDER = 2;

/**
 * A file on its way to its name. A kill leaves it behind, and nothing in its name tells whether its writer
 * lives: processes of two containers share a folder and not their numbers. So anybody may remove any draft,
 * and a writer who misses his begins anew.
 */
const DRAFT = /^\.draft-[0-9a-f]+(?:-[0-9]+)?$/;
const draftBeside = (path: string) =>
  join(dirname(path), `.draft-${randomBytes(8).toString('hex')}`);

/** False when there was none. */
function removeFile(path: string): boolean {
  return orWhenMissing(() => {
    unlinkSync(path);
    return true;
  }, false);
}

/** For what is only in the way: why it cannot be removed is told by what failed before. */
function tryRemove(path: string): void {
  try {
    removeFile(path);
  } catch {
    // The next sweep tries again.
  }
}

/** Folder by folder: `recursive` answers ENOENT where the file system is read-only (Node 20, MKDirpSync). */
function makeFolderAt(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return;
    if (errnoOf(error) !== 'ENOENT' || dirname(path) === path) throw error;
    makeFolderAt(dirname(path));
    mkdirSync(path, { recursive: true, mode: 0o700 });
  }
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
 *
 * `durable` is for state that must outlive a power loss: every change is on the disk (fsync of the file, and of
 * its folder where a name comes or goes) before the call returns.
 */
export function createFileStore(
  root: string,
  { durable = false }: { readonly durable?: boolean } = {},
): StateStore {
  const settle = (path: string) => {
    if (durable) fsyncPath(path);
  };
  const at = (name: string) => join(root, name);
  /** A folder that somebody has removed meanwhile has nothing to be settled. */
  const settleFolderOf = (name: string) => {
    orWhenMissing(() => {
      settle(dirname(at(name)));
    }, undefined);
  };
  /** Who may not use the folder at all learns it at the first lock, before anything is changed. */
  const orDenied = <T>(name: string, work: () => T): T => {
    try {
      return work();
    } catch (cause) {
      const errno = errnoOf(cause) ?? '';
      if (!DENIALS.includes(errno)) throw noRoomFor(at(name), errno, cause);
      throw new RefusedError('DENIED', `${root}: the state cannot be kept there: ${errno}`, {
        cause,
        remedy:
          'run as root; to practise without, set QMPLUG_STATE_DIR and QMPLUG_RUN_DIR to directories of your own',
        details: { path: at(name), errno },
      });
    }
  };
  /** A file of somebody else's is there, and what it says is not to be had. */
  const orUnreadable = <T>(name: string, work: () => T): T => {
    try {
      return work();
    } catch (cause) {
      const errno = errnoOf(cause) ?? '';
      if (!DENIALS.includes(errno)) throw unreadableState(at(name), errno, cause);
      throw new RefusedError('DENIED', `${at(name)}: the state cannot be read: ${errno}`, {
        cause,
        remedy: 'run as root, or as the user whose file it is',
        details: { path: at(name), errno },
      });
    }
  };
  const orFailure = <T>(name: string, work: () => T): T => {
    try {
      return work();
    } catch (cause) {
      throw stateFailure(at(name), errnoOf(cause) ?? '', cause);
    }
  };
  const makeFolder = (name: string) => {
    makeFolderAt(at(name));
  };
  /** False where the folder, left empty by somebody, or the draft was removed right between two steps. */
  const writeDraft = (name: string, draft: string, text: string) =>
    orWhenMissing(() => {
      makeFolder(dirname(name));
      writeFileSync(draft, text, { mode: 0o600, flag: 'wx' });
      settle(draft);
      return true;
    }, false);
  const tryCreate = (name: string, text: string): 'made' | 'taken' | 'draft lost' => {
    const draft = draftBeside(at(name));
    let isWritten = false;
    try {
      isWritten = orDenied(name, () => writeDraft(name, draft, text));
    } finally {
      // On a full disk the file is made, and what should stand in it has no room.
      if (!isWritten) tryRemove(draft);
    }
    if (!isWritten) return 'draft lost';
    try {
      // A link is made whole or not at all, and refuses an existing name: rename would replace it.
      linkSync(draft, at(name));
      return 'made';
    } catch (error) {
      if (errnoOf(error) === 'EEXIST') return 'taken';
      if (errnoOf(error) === 'ENOENT') return 'draft lost';
      throw stateFailure(at(name), errnoOf(error) ?? '', error);
    } finally {
      orFailure(name, () => {
        removeFile(draft);
        settleFolderOf(name);
      });
    }
  };
  const sweepFolder = (path: string, depth: number) => {
    for (const entry of orWhenMissing(() => readdirSync(path, { withFileTypes: true }), [])) {
      const inside = join(path, entry.name);
      if (entry.isDirectory() && depth > 0) sweepFolder(inside, depth - 1);
      if (entry.isFile() && DRAFT.test(entry.name)) removeFile(inside);
    }
  };

  return {
    location: root,
    async list(folder) {
      const names = orDenied(folder, () => orWhenMissing(() => readdirSync(at(folder)), []));
      return names.filter((name) => !name.startsWith('.'));
    },
    async read(name) {
      return orUnreadable(name, () =>
        orWhenMissing<string | undefined>(() => readFileSync(at(name), 'utf8'), undefined),
      );
    },
    async append(name, text) {
      orFailure(name, () => {
        appendFileSync(at(name), text);
        settle(at(name));
      });
    },
    async create(name, text) {
      for (let tries = 1; tries <= MOST_TRIES; tries += 1) {
        const outcome = tryCreate(name, text);
        if (outcome !== 'draft lost') return outcome === 'made';
      }
      throw stateFailure(at(name), 'ENOENT', undefined);
    },
    async rename(from, to) {
      orFailure(from, () => {
        renameSync(at(from), at(to));
        settleFolderOf(to);
      });
    },
    async remove(name) {
      return orFailure(name, () =>
        orWhenMissing(() => {
          rmSync(at(name));
          settleFolderOf(name);
          return true;
        }, false),
      );
    },
    async sweep() {
      orDenied('', () => {
        sweepFolder(root, DEEPEST_FOLDER);
      });
    },
    async removeIfEmpty(folder) {
      try {
        rmdirSync(at(folder));
        settleFolderOf(folder);
      } catch (error) {
        if (!STILL_IN_USE.includes(errnoOf(error) ?? '')) {
          throw stateFailure(at(folder), errnoOf(error) ?? '', error);
        }
      }
    },
    watch(folder, onChange) {
      orDenied(folder, () => makeFolder(folder));
      const watcher = watch(at(folder), { persistent: false }, onChange);
      watcher.on('error', onChange);
      return () => {
        watcher.close();
      };
    },
  };
}
