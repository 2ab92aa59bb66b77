import { listHolds } from '../../engine/holds.js';
import { Reservations, type Reservation } from '../../engine/reservations.js';
import { QmplugError } from '../../errors.js';
import type { StateStore } from '../../engine/state-store.js';
import { known, unknown, type Known } from '../../known.js';
import type { Bdf } from '../../pci/pci-address.js';
import type { HostEffects } from '../effects.js';
import { bareRecord } from '../inventory/bare-record.js';
import { readMdevs } from '../inventory/mdevs.js';
import { readPciNames } from '../inventory/pci-ids.js';
import { readRecords } from '../inventory/read-records.js';
import { attempt } from '../inventory/facts.js';
import type { DeviceRecord } from '../inventory/record.js';
import { createLiveness } from '../process.js';
import { lookCloser, readHostSnapshot } from '../inventory.js';
import type { UseFinding } from '../types.js';
import { compareCandidates, type Candidate, type CandidateSet } from './candidate.js';
import { readDistances } from '../inventory/places.js';
import type { Expression } from './expression.js';
import { readExtras } from './extras.js';
import { compileMatcher } from './match.js';

/** What the candidates are read from. */
export interface SelectionHost {
  readonly effects: HostEffects;
  /** Where reservations are kept; without it nothing is known of any. */
  readonly runtime?: StateStore | undefined;
  /** Where it is kept what selectors meant the last time; without it nothing is compared. */
  readonly answers?: StateStore | undefined;
  /** Where the pci.ids list may be; default the places of the distributions. */
  readonly pciIds?: readonly string[] | undefined;
  /** QEMU of the VM that is to get the device: what it holds itself is no foreign use. */
  readonly vmPid?: number | undefined;
  /** NUMA nodes of that VM. */
  readonly vmNodes?: readonly number[] | undefined;
}

/**
 * Reads everything that the fields ask for. Serial numbers are read in full, even where that wakes a sleeping
 * device, and use by the host is looked into, only where the fields name them.
 *
 * @param named an expression about addresses alone: what it does not match is not read.
 */
export async function readCandidates(
  host: SelectionHost,
  fields: ReadonlySet<string>,
  named?: Expression,
): Promise<CandidateSet> {
  const { effects, runtime, pciIds, vmPid, vmNodes } = host;
  const only = named === undefined ? undefined : isNamedBy(named);
  const [records, mdevs, names, reservations] = await Promise.all([
    readRecords(effects, { deep: fields.has('serial'), only }),
    attempt(() => readMdevs(effects)),
    fields.has('vendor') || fields.has('device') ? readPciNames(effects, pciIds) : undefined,
    readReservations(runtime),
  ]);
  const candidates = candidatesOf(records, mdevs.known ? [...mdevs.value.values()] : []);
  const functions = candidates.flatMap((each) => (each.kind === 'pci' ? each.name : []));
  return {
    candidates,
    records,
    names,
    reservations,
    holds: await readHolds(runtime, effects),
    vmNodes,
    distances: vmNodes === undefined ? new Map() : await readDistances(effects),
    uses: fields.has('in-use') ? await readUses(effects, functions, vmPid) : new Map(),
    extras: await readExtras(effects, candidates, fields),
  };
}

/** Addresses are known without reading anything. */
function isNamedBy(expression: Expression): (bdf: Bdf) => boolean {
  const matcher = compileMatcher(expression);
  const nothing: CandidateSet = {
    candidates: [],
    records: new Map(),
    names: undefined,
    uses: new Map(),
    reservations: unknown('not read'),
    holds: unknown('not read'),
    extras: new Map(),
    vmNodes: undefined,
    distances: new Map(),
  };
  return (bdf) =>
    matcher.judge({ kind: 'pci', name: bdf, record: bareRecord(bdf, 'not read') }, nothing)
      .truth === 'yes';
}

function candidatesOf(
  records: ReadonlyMap<Bdf, DeviceRecord>,
  mdevs: readonly Extract<Candidate, { kind: 'mdev' }>['record'][],
): readonly Candidate[] {
  const functions = [...records.values()].map((record): Candidate => ({
    kind: 'pci',
    name: record.bdf,
    record,
  }));
  const mediated = mdevs.map((record): Candidate => ({
    kind: 'mdev',
    name: record.uuid,
    record,
    parent:
      record.parent.known && record.parent.value !== undefined
        ? records.get(record.parent.value)
        : undefined,
  }));
  return [...functions, ...mediated].sort(compareCandidates);
}

/** The same candidates, and how the host uses those that are named. */
export async function withUses(
  { effects, vmPid }: SelectionHost,
  set: CandidateSet,
  functions: readonly Bdf[],
): Promise<CandidateSet> {
  const missing = functions.filter((bdf) => !set.uses.has(bdf));
  if (missing.length === 0) return set;
  return { ...set, uses: new Map([...set.uses, ...(await readUses(effects, missing, vmPid))]) };
}

async function readUses(
  effects: HostEffects,
  functions: readonly Bdf[],
  vmPid: number | undefined,
): Promise<ReadonlyMap<Bdf, readonly UseFinding[]>> {
  const seen = await readHostSnapshot(effects);
  return (await lookCloser(effects, seen, { uses: functions, vmPid })).uses;
}

/** A store that cannot be read leaves it unknown who has reserved what. */
async function readReservations(
  store: StateStore | undefined,
): Promise<Known<ReadonlyMap<string, Reservation>>> {
  return readByKey(store, (from) => new Reservations(from).list());
}

async function readHolds(
  store: StateStore | undefined,
  effects: HostEffects,
): Promise<CandidateSet['holds']> {
  return readByKey(store, (from) => listHolds(from, createLiveness(effects), Date.now()));
}

async function readByKey<T extends { readonly key: string }>(
  store: StateStore | undefined,
  list: (store: StateStore) => Promise<readonly T[]>,
): Promise<Known<ReadonlyMap<string, T>>> {
  if (store === undefined) return unknown('there is no place where reservations are kept');
  try {
    return known(new Map((await list(store)).map((each) => [each.key, each])));
  } catch (error) {
    if (error instanceof QmplugError) return unknown(error.message);
    throw error;
  }
}
