import {
  claimOn,
  findCulprits,
  type Candidate,
  type CandidateSet,
  type HostDevice,
  type HostSnapshot,
  type QmplugError,
} from '../index.js';

/** What stands between a device and a VM. */
export interface Obstacle {
  /** `block` stops an attach unless its reason is allowed by name; `warn` is told and passes. */
  readonly level: 'block' | 'warn';
  readonly reason: string;
  readonly evidence: string;
  readonly remedy: string;
}

/** What keeps a device from going to a VM as things are: how it is used, and by its group. */
export function findObstacles(device: HostDevice, host: HostSnapshot): readonly Obstacle[] {
  return [...(host.uses.get(device.bdf) ?? []), ...findInGroup(device, host)];
}

function findInGroup(
  { bdf, iommuGroup, bridge }: HostDevice,
  host: HostSnapshot,
): readonly Obstacle[] {
  // That it is a bridge is reason enough.
  if (bridge) return [];
  if (iommuGroup === undefined) {
    return [
      {
        level: 'block',
        reason: 'no-iommu-group',
        evidence: 'in no IOMMU group',
        remedy: 'switch the IOMMU on in the firmware and on the kernel command line',
      },
    ];
  }
  const culprits = findCulprits(host, iommuGroup, new Set([bdf])).map(
    ({ name, driver, remedy }): Obstacle => ({
      level: 'block',
      reason: 'group-not-viable',
      evidence: `IOMMU group ${iommuGroup} also holds ${name} (driver ${driver})`,
      remedy,
    }),
  );
  return [...culprits, ...findHolders(iommuGroup, host)];
}

function findHolders(group: number, { holders }: HostSnapshot): readonly Obstacle[] {
  const found = holders.get(group);
  if (found === undefined) return [];
  if (!found.known) {
    return [
      {
        level: 'block',
        reason: 'unreadable.holders',
        evidence: `who holds IOMMU group ${group} cannot be told: ${found.reason}`,
        remedy: 'run as root',
      },
    ];
  }
  return found.value.map(({ pid, command, node }) => ({
    level: 'block',
    reason: 'group-held',
    evidence: `${node} is open in process ${pid} (${command})`,
    remedy: 'detach it there first',
  }));
}

/** The driver that is asked for by name cannot be. */
export function wrongDriver({ message, remedy = '' }: QmplugError): Obstacle {
  return { level: 'block', reason: 'wrong-driver', evidence: message, remedy };
}

/** A VM that has it, or somebody for whom it is set aside. */
export function findClaims(candidate: Candidate, set: CandidateSet): readonly Obstacle[] {
  const claim = claimOn(candidate, set);
  // Where nobody keeps reservations, as in a tree that stands in for a host, there are none to tell of.
  if (!claim.known || claim.value === undefined) return [];
  const { key, owner, until } = claim.value;
  const end = until === undefined ? '' : ` until ${new Date(until).toISOString()}`;
  return [
    {
      level: 'block',
      reason: 'reserved',
      evidence: `${key} is reserved for ${owner}${end}`,
      remedy: 'detach it there, or give it back: qmplug host unreserve --for OWNER',
    },
  ];
}
