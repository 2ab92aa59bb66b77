import { type Bdf, compareBdf } from '../../pci/pci-address.js';
import type { Hold } from '../../engine/holds.js';
import type { Reservation } from '../../engine/reservations.js';
import type { Known } from '../../known.js';
import { compareMdevs } from '../inventory/mdevs.js';
import type { PciNames } from '../inventory/pci-ids.js';
import type { DeviceRecord, MdevRecord } from '../inventory/record.js';
import type { UseFinding } from '../types.js';

/** What a selector chooses from: PCI functions, and mediated devices beside them. */
export type Candidate =
  | {
      readonly kind: 'pci';
      /** The BDF: the name of the candidate. */
      readonly name: Bdf;
      readonly record: DeviceRecord;
    }
  | {
      readonly kind: 'mdev';
      /** The UUID. */
      readonly name: string;
      readonly record: MdevRecord;
      /** The PCI function it is a part of, where there is one that could be read. */
      readonly parent: DeviceRecord | undefined;
    };

/** The function a candidate is, or is a part of. */
export function functionOf(candidate: Candidate): DeviceRecord | undefined {
  return candidate.kind === 'pci' ? candidate.record : candidate.parent;
}

/** Everything a selector may ask about, read once and then left alone. */
export interface CandidateSet {
  /** In numeric order, mediated devices after all functions. */
  readonly candidates: readonly Candidate[];
  readonly records: ReadonlyMap<Bdf, DeviceRecord>;
  /** Undefined where no pci.ids list is installed. */
  readonly names: PciNames | undefined;
  /** Use by the host of the candidates that were looked into. */
  readonly uses: ReadonlyMap<string, readonly UseFinding[]>;
  /** Reservations by key; unknown where they could not be read. */
  readonly reservations: Known<ReadonlyMap<string, Reservation>>;
  /** What is set aside for somebody, by key; unknown where that could not be read. */
  readonly holds: Known<ReadonlyMap<string, Hold>>;
  /** What was read for single fields: `attr.`, `udev.`, `variant`; by field, then by candidate. */
  readonly extras: ReadonlyMap<string, ReadonlyMap<string, Known<readonly string[] | undefined>>>;
  /** NUMA nodes of the VM that is to get the device; undefined where it is not known. */
  readonly vmNodes: readonly number[] | undefined;
  /** Distances between NUMA nodes, as the firmware's SLIT has them: 10 is the node itself. */
  readonly distances: ReadonlyMap<number, readonly number[]>;
}

/** Total order: functions by number, then mediated devices by parent and UUID. */
export function compareCandidates(a: Candidate, b: Candidate): number {
  if (a.kind === 'pci' && b.kind === 'pci') return compareBdf(a.name, b.name);
  if (a.kind === 'mdev' && b.kind === 'mdev') return compareMdevs(a.record, b.record);
  return a.kind === 'pci' ? -1 : 1;
}

/** Who has a candidate, or for whom it is set aside. */
export interface Claim {
  readonly key: string;
  readonly owner: string;
  /** Milliseconds since 1970; undefined where it ends only by itself being given back. */
  readonly until: number | undefined;
}

/** A VM's reservation before what is set aside; unknown where neither could be read. */
export function claimOn(candidate: Candidate, set: CandidateSet): Known<Claim | undefined> {
  const key = reservationKeyOf(candidate);
  if (!key.known) return key;
  if (key.value === undefined) return { known: true, value: undefined };
  if (!set.reservations.known) return set.reservations;
  const reservation = set.reservations.value.get(key.value);
  if (reservation !== undefined) {
    const value = { key: key.value, owner: reservation.scope, until: undefined };
    return { known: true, value };
  }
  if (!set.holds.known) return set.holds;
  const hold = set.holds.value.get(key.value);
  const value = hold && { key: key.value, owner: hold.owner, until: hold.until };
  return { known: true, value };
}

/**
 * What a reservation of the candidate is kept under: its IOMMU group, which is the unit that VFIO gives
 * away; a mediated device by its UUID; undefined without a group.
 */
export function reservationKeyOf(candidate: Candidate): Known<string | undefined> {
  if (candidate.kind === 'mdev') return { known: true, value: `mdev-${candidate.name}` };
  const { iommuGroup } = candidate.record;
  if (!iommuGroup.known) return iommuGroup;
  const key = iommuGroup.value === undefined ? undefined : `group-${iommuGroup.value}`;
  return { known: true, value: key };
}
