import { RefusedError, StateError } from '../errors.js';

/**
 * Small files with the few atomic operations that locks, reservations and the journal stand on.
 * Names are relative, `/`-separated; folders come into being with their first file. What cannot be done is a
 * `StateError`.
 *
 * Runtime state needs no fsync: a power loss voids driver bindings and VMs alike.
 */
export interface StateStore {
  /** Where the files are, for messages. */
  readonly location: string;
  /** Names of the files and folders in a folder; empty when it does not exist. */
  list(folder: string): Promise<readonly string[]>;
  /** The whole text, or undefined when there is no such file. */
  read(name: string): Promise<string | undefined>;
  /** Adds to the end in one write. A kill can leave a part of `text`, never a mix. */
  append(name: string, text: string): Promise<void>;
  /** Makes the file, whole or not at all. False when it exists already. */
  create(name: string, text: string): Promise<boolean>;
  /** Moves a file within a folder, atomically, over whatever has the name. */
  rename(from: string, to: string): Promise<void>;
  /** False when there was none. */
  remove(name: string): Promise<boolean>;
  /** Removes what killed writers left unfinished. Whoever writes at this moment is not disturbed. */
  sweep(): Promise<void>;
  /** Removes a folder in which nothing is; leaves any other. */
  removeIfEmpty(folder: string): Promise<void>;
  /** Calls back after something in the folder may have changed. The returned function ends it. */
  watch(folder: string, onChange: () => void): () => void;
}

/** A file of ours that cannot come into being: what it was to record was not begun. */
export function noRoomFor(path: string, errno: string, cause: unknown): RefusedError {
  return new RefusedError('STATE_UNWRITABLE', `${path}: the state cannot be kept there: ${errno}`, {
    cause,
    remedy: 'mend that file system, or make room on it',
    details: { path, errno },
  });
}

/** A file of ours that cannot be read. `errno` as the kernel names it. */
export function unreadableState(path: string, errno: string, cause: unknown): StateError {
  return new StateError('STATE_UNWRITABLE', `${path}: what is on record cannot be read: ${errno}`, {
    cause,
    remedy: 'mend that file system, or what is in the place of the file; then: qmplug recover',
    details: { path, errno },
  });
}

/** A file of ours that cannot be written. `errno` as the kernel names it. */
export function stateFailure(path: string, errno: string, cause: unknown): StateError {
  return new StateError('STATE_UNWRITABLE', `${path}: what is done cannot be recorded: ${errno}`, {
    cause,
    remedy: 'mend that file system, or make room on it; then: qmplug recover',
    details: { path, errno },
  });
}
