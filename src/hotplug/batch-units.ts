import type { Resolution } from '../host/selector/index.js';
import { reservationKeyOf, type Candidate } from '../host/selector/candidate.js';
import { slotOf } from '../pci/pci-address.js';

/** Devices that are attached and taken out together. */
export interface Unit {
  readonly kind: 'pci' | 'mdev';
  /** Addresses, or the one UUID; in the order of the choice. */
  readonly names: readonly string[];
  /** Under which they are reserved. */
  readonly keys: readonly string[];
}

/**
 * Parts what was chosen into what can go alone: functions of one slot go into one slot of the guest, and those of
 * one IOMMU group to one VM.
 */
export function unitsOf({
  chosen,
  companions,
}: Pick<Resolution, 'chosen' | 'companions'>): readonly Unit[] {
  const units: { members: Candidate[]; marks: Set<string> }[] = [];
  for (const candidate of [...chosen, ...companions]) {
    const marks = marksOf(candidate);
    const near = units.filter((unit) => marks.some((mark) => unit.marks.has(mark)));
    const [first = { members: [], marks: new Set<string>() }, ...others] = near;
    if (near.length === 0) units.push(first);
    for (const other of others) {
      first.members.push(...other.members);
      for (const mark of other.marks) first.marks.add(mark);
      units.splice(units.indexOf(other), 1);
    }
    first.members.push(candidate);
    for (const mark of marks) first.marks.add(mark);
  }
  return units.map(({ members }) => ({
    kind: members[0]?.kind ?? 'pci',
    names: members.map(({ name }) => name),
    keys: [...new Set(members.flatMap(keyOf))],
  }));
}

function marksOf(candidate: Candidate): readonly string[] {
  const slot = candidate.kind === 'pci' ? [`slot-${slotOf(candidate.name)}`] : [];
  return [...slot, ...keyOf(candidate)];
}

function keyOf(candidate: Candidate): readonly string[] {
  const key = reservationKeyOf(candidate);
  return key.known && key.value !== undefined ? [key.value] : [];
}
