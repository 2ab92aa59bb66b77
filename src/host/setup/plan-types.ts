import type { SetupStep } from './steps.js';
import type { Note, Risk } from './wants/index.js';

/**
 * Where an item stands, of three values: wanted, configured and running.
 *
 *   ok              as wanted, and ours
 *   foreign-ok      as wanted by somebody else's doing; never ours
 *   pending-reboot  configured as wanted, and not running yet
 *   missing         to be added
 *   running-only    running, but lost at the next boot: to be added
 *   outdated        ours, and no longer what is wanted: to be changed
 *   orphan          ours, and not wanted any more: to be removed
 *   conflicting     somebody else's setting contradicts it: refused
 *   modified        ours, and changed by somebody else since: refused
 *   unmet           something it needs is not there: refused
 *   unknown         cannot be read: refused
 */
export type DriftState =
  | 'ok'
  | 'foreign-ok'
  | 'pending-reboot'
  | 'missing'
  | 'running-only'
  | 'outdated'
  | 'orphan'
  | 'conflicting'
  | 'modified'
  | 'unmet'
  | 'unknown';

export const REFUSED_STATES: ReadonlySet<DriftState> = new Set([
  'conflicting',
  'modified',
  'unmet',
  'unknown',
]);

/** One thing that the desired state calls for, and where it stands. */
export interface SetupItem {
  /** `kvm.ignoreMsrs`, `early.rule`. */
  readonly id: string;
  /** What it is about: a path, an argument. */
  readonly subject: string;
  readonly state: DriftState;
  readonly reason?: string | undefined;
  readonly remedy?: string | undefined;
  /** What somebody else made of our file. */
  readonly diff?: string | undefined;
}

export type Ownership = 'ours' | 'foreign' | 'shared' | 'none';

/** One change that apply would make. */
export interface SetupAction {
  readonly id: string;
  readonly kind: SetupStep['kind'];
  /** The mechanism: `grub-drop-in`, `initramfs-tools`, `file`, `sysfs`. */
  readonly backend: string;
  readonly current: string | null;
  readonly wanted: string | null;
  readonly fileDiff?: string | undefined;
  readonly argv?: readonly (readonly string[])[] | undefined;
  readonly needsRoot: boolean;
  readonly needsReboot: boolean;
  readonly ownership: Ownership;
  /** What takes it back, in words. */
  readonly inverse: string;
  readonly risk: Risk;
}

/** What would be done, and why not more. */
export interface SetupPlan {
  /** sha256 of what would be done and of what it was decided on. */
  readonly hash: string;
  readonly backend: string;
  readonly items: readonly SetupItem[];
  readonly actions: readonly SetupAction[];
  readonly notes: readonly Note[];
  /** Whether something counts only from the next boot on, now or after the actions. */
  readonly needsReboot: boolean;
  readonly steps: readonly SetupStep[];
}
