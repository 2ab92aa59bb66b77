import type { Reservation } from '../engine/index.js';
import type { QuarantineEntry } from '../host/quarantine.js';

/** Who wants devices, and what is known of those who have them. */
export interface Claim {
  /** The VM's key, or the host's own scope. */
  readonly scope: string;
  /** The QEMU they are for: what it holds itself is no obstacle. */
  readonly qemuPid: number | undefined;
  readonly reservations: readonly Reservation[];
  readonly quarantine: readonly QuarantineEntry[];
}
