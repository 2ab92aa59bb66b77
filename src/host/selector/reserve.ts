import { heldBy, type Hold, type Holds } from '../../engine/holds.js';
import { conflict } from '../../engine/reservations.js';
import { RefusedError } from '../../errors.js';
import { reservationKeyOf, type Candidate, type CandidateSet } from './candidate.js';
import type { Tenant } from './policy-file.js';
import type { Resolution } from './resolution.js';

export interface ReserveOptions {
  readonly owner: string;
  /** Milliseconds; undefined holds till it is given back, or to the next boot. */
  readonly ttlMs: number | undefined;
  /** The owner's share, where a policy file gives it one. */
  readonly tenant?: Tenant | undefined;
}

/**
 * Sets the chosen devices aside, whole IOMMU groups as VFIO gives them away. All or none.
 *
 * @throws {RefusedError} `CONFLICT` naming both sides; `NO_IOMMU` for a device without a group; `DENIED` where the
 * owner's quota is used up.
 */
export async function reserveDevices(
  holds: Holds,
  { chosen, companions, set }: Resolution,
  { owner, ttlMs, tenant }: ReserveOptions,
): Promise<readonly Hold[]> {
  const devices = new Map<string, Candidate[]>();
  for (const candidate of [...chosen, ...companions]) {
    const key = keyOf(candidate);
    devices.set(key, [...(devices.get(key) ?? []), candidate]);
  }
  checkConflicts([...devices.keys()], set, owner);
  if (tenant !== undefined) checkQuota(tenant, devices, await holds.list(), set);
  const wanted = [...devices].map(([key, members]) => ({
    key,
    devices: members.map(({ name }) => name),
  }));
  return holds.take(wanted, owner, ttlMs);
}

function keyOf(candidate: Candidate): string {
  const key = reservationKeyOf(candidate);
  if (key.known && key.value !== undefined) return key.value;
  throw new RefusedError(
    key.known ? 'NO_IOMMU' : 'HOST_UNREADABLE',
    key.known
      ? `${candidate.name} is in no IOMMU group, so there is nothing that VFIO could give away`
      : `The IOMMU group of ${candidate.name} cannot be told: ${key.reason}`,
    {
      remedy: 'switch the IOMMU on in the firmware and on the kernel command line',
      details: { device: candidate.name },
    },
  );
}

function checkConflicts(keys: readonly string[], set: CandidateSet, owner: string): void {
  for (const key of keys) {
    const holder = set.reservations.known ? set.reservations.value.get(key) : undefined;
    if (holder !== undefined) throw conflict(key, owner, holder);
    const hold = set.holds.known ? set.holds.value.get(key) : undefined;
    if (hold !== undefined && hold.owner !== owner) throw heldBy(hold, owner);
  }
}

function checkQuota(
  { name, quota }: Tenant,
  wanted: ReadonlyMap<string, readonly Candidate[]>,
  held: readonly Hold[],
  set: CandidateSet,
): void {
  // What is taken anew counts once.
  const mine = held.filter(({ owner, key }) => owner === name && !wanted.has(key));
  const names = [
    ...mine.flatMap(({ devices }) => devices),
    ...[...wanted.values()].flat().map((candidate) => candidate.name),
  ];
  const isVf = (device: string) => {
    const found = set.candidates.find((candidate) => candidate.name === device);
    return (
      found?.kind === 'pci' && found.record.sriov.known && found.record.sriov.value.role === 'vf'
    );
  };
  const counts = {
    devices: names.length,
    groups: mine.length + wanted.size,
    vfs: names.filter(isVf).length,
  };
  for (const key of ['devices', 'groups', 'vfs'] as const) {
    const most = quota[key];
    if (most === undefined || counts[key] <= most) continue;
    throw new RefusedError(
      'DENIED',
      `${name} may hold ${most} ${key}, and would hold ${counts[key]}`,
      {
        remedy: `give some back: qmplug host unreserve --for ${name}`,
        details: {
          rule: `quota.${name}`,
          limit: most,
          wanted: counts[key],
          held: mine.map(({ key: each }) => each),
        },
      },
    );
  }
}
