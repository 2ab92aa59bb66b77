import type { Bdf } from '../pci/pci-address.js';

/** `skip`: does not apply here. `unknown`: could not be read, which is neither ok nor fail. */
export type Verdict = 'ok' | 'warn' | 'fail' | 'skip' | 'unknown';

/** What was looked at, and what was there. */
export interface Evidence {
  /** A path of the host, or what of the VM it is. */
  readonly path: string;
  readonly value: string;
}

/** What a check says. */
export interface Answer {
  readonly verdict: Verdict;
  /** One line. */
  readonly why: string;
  readonly read: readonly Evidence[];
  /** Something to run or to set; undefined where nothing has to be done. */
  readonly remedy: string | undefined;
}

export interface Finding extends Answer {
  /** Stable: what `--only` and `--skip` name. */
  readonly id: string;
  readonly subject: string;
  /** Whether the check sees everything only as root. */
  readonly needsRoot: boolean;
  /** The function that it is about; undefined for the host and the VM. */
  readonly device: Bdf | undefined;
}

export const seen = (path: string, value: string | number): Evidence => ({
  path,
  value: String(value),
});

export const ok = (why: string, ...read: readonly Evidence[]): Answer => ({
  verdict: 'ok',
  why,
  read,
  remedy: undefined,
});

export const skip = (why: string, ...read: readonly Evidence[]): Answer => ({
  verdict: 'skip',
  why,
  read,
  remedy: undefined,
});

export const warn = (why: string, remedy: string, ...read: readonly Evidence[]): Answer => ({
  verdict: 'warn',
  why,
  read,
  remedy,
});

export const fail = (why: string, remedy: string, ...read: readonly Evidence[]): Answer => ({
  verdict: 'fail',
  why,
  read,
  remedy,
});

export const unknownAnswer = (
  why: string,
  remedy?: string,
  ...read: readonly Evidence[]
): Answer => ({ verdict: 'unknown', why, read, remedy });
