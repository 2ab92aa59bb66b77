import type { Candidate, CandidateSet } from './candidate.js';
import type { Placement } from './order.js';
import type { Rejection } from './refusals.js';

/** What a selector means on this host, now. */
export interface Resolution {
  /** The canonical short form. */
  readonly selector: string;
  /** SHA-256 of the request, and of what was known of the host. */
  readonly selectorHash: string;
  readonly snapshotHash: string;
  readonly policy: string;
  readonly order: readonly string[];
  readonly chosen: readonly Candidate[];
  readonly companions: readonly Candidate[];
  readonly classes: ReadonlyMap<string, readonly Candidate[]>;
  readonly rejected: readonly Rejection[];
  /** When the earliest of the reservations ends that were asked for with `owner`; milliseconds since 1970. */
  readonly reservedUntil: number | undefined;
  /** How near the VM's NUMA nodes they are; undefined where no nodes were given. */
  readonly placement: readonly Placement[] | undefined;
  /**
   * What is worth knowing and changes nothing: a pinned device without a serial number to compare, a selector that
   * meant another device before.
   */
  readonly notes: readonly string[];
  /** Everything the choice was made of. */
  readonly set: CandidateSet;
}
