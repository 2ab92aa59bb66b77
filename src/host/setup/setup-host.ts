import type { FileState } from './file-state.js';

/** How a program ended. */
export interface ProgramResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * The host's set-up: files below one root, and the programs of that root. Paths are those of the system in the
 * root; symbolic links are followed inside of it and never lead out.
 */
export interface SetupHost {
  /** `/`, or the directory of an image. */
  readonly root: string;
  /** As `uname -m` names it. */
  readonly architecture: string;
  /** Whether this is the machine that runs, and not an image being built. */
  readonly isMachine: boolean;
  /** The file; `absent` where there is none. @throws {HostIoError} for a link, a directory, a denial. */
  readFile(path: string): Promise<FileState>;
  /** Names in a directory, sorted; empty where there is none. */
  list(path: string): Promise<readonly string[]>;
  exists(path: string): Promise<boolean>;
  /** Makes the file as given, whole or not at all, and on the disk when this returns. */
  writeFile(path: string, state: FileState): Promise<void>;
  /** An attribute of sysfs without its newline. */
  readAttribute(path: string): Promise<string>;
  writeAttribute(path: string, value: string): Promise<void>;
  /** The directories on the way to the file that do not exist, outermost first. */
  missingDirectories(path: string): Promise<readonly string[]>;
  /** Removes a directory if it is there and empty. */
  removeDirectory(path: string): Promise<void>;
  /** Absolute path of a program, undefined where the root has none of that name. */
  findProgram(name: string): Promise<string | undefined>;
  /**
   * Runs a program to its end, with a fixed environment and without a shell.
   *
   * @throws {HostIoError} where it cannot be started or does not end by the deadline.
   */
  run(argv: readonly string[], options?: { readonly deadlineMs?: number }): Promise<ProgramResult>;
}
