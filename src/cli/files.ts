import { closeSync, existsSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { InputError } from '../index.js';

/** A file that grows line by line; what was written stays, whatever becomes of the process. */
export interface OutputFile {
  write(text: string): void;
  close(): void;
}

/**
 * A file that must not exist yet: what lies there may be somebody's only copy. It is made by the first line.
 *
 * @param flag the option that named it.
 * @throws {InputError} `BAD_ARGUMENT`
 */
export function createFile(path: string, flag: string): OutputFile {
  checkNewFile(path, flag);
  let fd: number | undefined;
  const open = () => {
    try {
      return openSync(path, 'wx', 0o600);
    } catch (cause) {
      throw badTarget(flag, path, 'cannot be made', cause);
    }
  };
  return {
    write(text) {
      fd ??= open();
      try {
        writeSync(fd, text);
      } catch (cause) {
        throw failed(path, 'written', cause);
      }
    },
    close() {
      if (fd !== undefined) closeSync(fd);
    },
  };
}

/** @throws {InputError} `BAD_ARGUMENT` where something has the name, or there is no directory to put it in. */
export function checkNewFile(path: string, flag: string): void {
  if (existsSync(path)) throw badTarget(flag, path, 'exists already');
  checkFolderOf(path, flag);
}

/** @throws {InputError} `BAD_ARGUMENT` where a file of this name can neither be made nor replaced. */
export function checkReplaceableFile(path: string, flag: string): void {
  if (isDirectory(path)) throw badTarget(flag, path, 'is a directory');
  checkFolderOf(path, flag);
}

function checkFolderOf(path: string, flag: string): void {
  if (!isDirectory(dirname(path))) throw badTarget(flag, path, 'is in no directory');
}

/** Whether it is one now; what cannot be looked at is none. */
export function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

function badTarget(flag: string, path: string, why: string, cause?: unknown): InputError {
  return new InputError('BAD_ARGUMENT', `${flag}: ${JSON.stringify(path)} ${why}`, {
    cause,
    remedy: 'give a new file, in a directory that exists and may be written',
  });
}

/** Larger files are no transcripts, and would not fit a string of Node. */
const MAX_FILE_BYTES = 256 * 1024 * 1024;

const STDIN = 0;

/** The text of a file; `-` is standard input. @throws {InputError} `BAD_FILE` */
export function readTextFile(path: string): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path === '-' ? STDIN : path);
  } catch (cause) {
    throw failed(path, 'read', cause);
  }
  if (bytes.length > MAX_FILE_BYTES) {
    throw failed(path, 'read', new Error(`it has more than ${MAX_FILE_BYTES} bytes`));
  }
  return bytes.toString('utf8');
}

function failed(path: string, what: string, cause: unknown): InputError {
  return new InputError('BAD_FILE', `${JSON.stringify(path)} cannot be ${what}`, {
    cause,
    remedy: 'check the path, its permissions and the space that is left',
    details: { path },
  });
}
