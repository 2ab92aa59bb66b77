import { specOf } from './fields.js';
import { compareCandidates, functionOf, type Candidate, type CandidateSet } from './candidate.js';
import { readField } from './read-field.js';
import { BadValue } from './syntax-error.js';

/** A field to sort by, or the distance to the VM's NUMA nodes. */
export interface OrderKey {
  readonly field: string;
  readonly descending: boolean;
}

/** Reads `numa` or, from the last to the first, `-numa`. @throws {BadValue} */
export function parseOrderKey(text: string): OrderKey {
  const descending = text.startsWith('-');
  const field = descending ? text.slice(1) : text;
  if (field !== 'distance' && specOf(field) === undefined) {
    throw new BadValue(`there is no field ${JSON.stringify(field)} to sort by`);
  }
  return { field, descending };
}

export function formatOrderKey({ field, descending }: OrderKey): string {
  return descending ? `-${field}` : field;
}

/**
 * Sorts by the keys, then by address: a total order that depends on nothing but the devices. What a key does not
 * know of a device puts it behind those it does, in either direction.
 */
export function sortCandidates(
  candidates: readonly Candidate[],
  keys: readonly OrderKey[],
  set: CandidateSet,
): readonly Candidate[] {
  const ranked = candidates.map((candidate) => ({
    candidate,
    ranks: keys.map(({ field }) => rankOf(field, candidate, set)),
  }));
  return ranked
    .sort((a, b) => {
      for (const [index, { descending }] of keys.entries()) {
        const order = compareRanks(a.ranks[index], b.ranks[index], descending);
        if (order !== 0) return order;
      }
      return compareCandidates(a.candidate, b.candidate);
    })
    .map(({ candidate }) => candidate);
}

type Rank = number | string | undefined;

function rankOf(field: string, candidate: Candidate, set: CandidateSet): Rank {
  if (field === 'distance') return distanceOf(candidate, set);
  const reading = readField(field, candidate, set);
  if (reading.state !== 'present') return undefined;
  return reading.numbers[0] ?? reading.texts[0];
}

/** Where a chosen device is, and what that costs the VM. */
export interface Placement {
  readonly name: string;
  /** Its NUMA node; undefined where the firmware does not tell. */
  readonly node: number | undefined;
  /**
   * Distance to the nearest node of the VM beyond that of a node to itself, which is 10 in the firmware's SLIT (ACPI
   * 6.5, 5.2.17); undefined where it is not known.
   */
  readonly penalty: number | undefined;
}

const LOCAL_DISTANCE = 10;

export function placementOf(candidate: Candidate, set: CandidateSet): Placement {
  const node = functionOf(candidate)?.numaNode;
  const distance = distanceOf(candidate, set);
  return {
    name: candidate.name,
    node: node?.known === true && node.value >= 0 ? node.value : undefined,
    penalty: typeof distance === 'number' ? distance - LOCAL_DISTANCE : undefined,
  };
}

/** The shortest way to one of the VM's nodes; undefined where the firmware does not tell. */
function distanceOf(candidate: Candidate, { vmNodes, distances }: CandidateSet): Rank {
  const node = functionOf(candidate)?.numaNode;
  if (node === undefined || !node.known || node.value < 0 || vmNodes === undefined)
    return undefined;
  const known = vmNodes.flatMap((from) => distances.get(from)?.[node.value] ?? []);
  return known.length > 0 ? Math.min(...known) : undefined;
}

function compareRanks(a: Rank, b: Rank, descending: boolean): number {
  if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined);
  const order =
    typeof a === 'number' && typeof b === 'number' ? a - b : compareText(String(a), String(b));
  return descending ? -order : order;
}

const compareText = (a: string, b: string) => (a < b ? -1 : Number(a > b));
