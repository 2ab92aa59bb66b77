import type { ArgumentChange } from './argument-changes.js';
import type { FileEdit } from './edits/index.js';
import type { FileState } from './file-state.js';

/** Common to all steps: which action of the plan it belongs to. */
interface Of {
  readonly action: string;
}

/** Makes a file what it shall be, if it still is what the plan saw. */
export interface WriteFile extends Of {
  readonly kind: 'WriteFile';
  readonly path: string;
  readonly to: FileState;
  /** Fingerprint of the file that the plan was made on. */
  readonly expect: string;
  /** How our part got into a file that others write too; absent where the whole file is ours. */
  readonly edit?: FileEdit;
  /** Directories to remove with the file where nothing else is in them; outermost first. */
  readonly directories?: readonly string[];
}

/** Changes the configured kernel command line through the program that owns it. */
export interface SetArguments extends Of {
  readonly kind: 'SetArguments';
  readonly backend: string;
  readonly changes: readonly ArgumentChange[];
}

/** A program that changes something, with the one that takes it back and the one that tells. */
export interface RunPair extends Of {
  readonly kind: 'RunPair';
  /** True where the effect is to be taken away: then `inverse` is what is run. */
  readonly remove?: boolean;
  readonly argv: readonly string[];
  readonly inverse: readonly string[];
  /** The effect is there when this prints the line `line`. */
  readonly present: { readonly argv: readonly string[]; readonly line: string };
}

/** Sets an attribute of sysfs, which lasts until the next boot. */
export interface WriteAttribute extends Of {
  readonly kind: 'WriteAttribute';
  readonly path: string;
  readonly value: string;
  readonly expect: string;
}

/**
 * Makes anew what is generated of files that this plan changes: a boot menu, an initramfs. After the changes on
 * the way forward (`do`), or before them in the plan and so after them on the way back (`undo`).
 */
export interface Refresh extends Of {
  readonly kind: 'Refresh';
  readonly argv: readonly string[];
  readonly turn: 'do' | 'undo';
}

/** Takes what is there already as ours; changes nothing but the journal. */
export interface Adopt extends Of {
  readonly kind: 'Adopt';
  readonly what:
    | { readonly kind: 'file'; readonly path: string; readonly expect: string }
    | { readonly kind: 'argument'; readonly backend: string; readonly text: string };
}

export type SetupStep = WriteFile | SetArguments | RunPair | WriteAttribute | Refresh | Adopt;
