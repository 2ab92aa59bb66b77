import type { ArgumentChange } from '../argument-changes.js';
import type { KernelArgument } from '../command-line.js';
import type { FileEdit } from '../edits/index.js';
import type { SetupHost } from '../setup-host.js';

/** What the next boot is configured to get. */
export interface ConfiguredArguments {
  /** In the order in which the kernel will see them. */
  readonly words: readonly KernelArgument[];
  /** Files of which the words are read, for what has to be edited in place. */
  readonly files?: readonly {
    readonly path: string;
    readonly variable?: string;
    readonly words: readonly KernelArgument[];
  }[];
  /** Words that only some of the installed kernels get. */
  readonly partial?: readonly KernelArgument[];
  /** Words that the mechanism itself keeps under our name. */
  readonly own?: readonly string[];
}

interface Backend {
  /** As `backend` in a desired state and the plan name it. */
  readonly name: string;
  /** Whether an operating system image owns the boot configuration. */
  readonly imageManaged: boolean;
  /** Whether the mechanism is here, told by the mechanism and never by a distribution's name. */
  detect(host: SetupHost): Promise<boolean>;
  /** @throws {HostError} where the configuration cannot be read. */
  read(host: SetupHost): Promise<ConfiguredArguments>;
}

/** A program owns the configuration and changes it in one transaction a call. */
export interface CommandBackend extends Backend {
  readonly kind: 'command';
  /** Shows what is configured. */
  readonly look: readonly string[];
  /** Whether somebody else's argument can be replaced by one that holds its elements and ours. */
  readonly canMerge: boolean;
  commands(
    changes: readonly ArgumentChange[],
    configured: ConfiguredArguments,
  ): readonly (readonly string[])[];
}

/** A part of the configuration that shall have our words. */
export type FileWish =
  | { readonly path: string; readonly content: string }
  | { readonly path: string; readonly edit: FileEdit };

/** Files hold the configuration; a program makes of them what the boot loader reads. */
export interface FileBackend extends Backend {
  readonly kind: 'file';
  /** The file that is ours alone, where the mechanism reads one. */
  readonly ownFile?: string;
  readonly canMerge: boolean;
  files(changes: readonly ArgumentChange[], configured: ConfiguredArguments): readonly FileWish[];
  /** Programs to run after a change. */
  refresh(host: SetupHost): Promise<readonly (readonly string[])[]>;
}

/** Nothing here may or can be written; the plan prints what to set. */
export interface PrintBackend extends Backend {
  readonly kind: 'print';
  /** Whether files of the system are declared elsewhere, so that none may be written either. */
  readonly isDeclared: boolean;
  print(changes: readonly ArgumentChange[]): string;
}

export type KernelArgumentBackend = CommandBackend | FileBackend | PrintBackend;
