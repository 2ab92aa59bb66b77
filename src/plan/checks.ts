import { conflict } from '../engine/index.js';
import { HostNotReadyError, RefusedError } from '../errors.js';
import { systemRuleOf } from '../host/selector/index.js';
import { findCulprits } from '../host/viability.js';
import type { HostDevice, HostSnapshot, UseFinding } from '../host/types.js';
import type { Bdf } from '../pci/pci-address.js';
import { quarantined } from '../host/quarantine.js';
import type { Claim } from './claim.js';
import { noIommu } from './members.js';

/** The host's record of a function. @throws {RefusedError} `NO_MATCH` */
export function hostFunction(host: HostSnapshot, bdf: Bdf): HostDevice {
  const device = host.devices.get(bdf);
  if (device !== undefined) return device;
  throw new RefusedError('NO_MATCH', `The host has no PCI device ${bdf}`, {
    remedy: 'list what it has: qmplug devices',
    details: { device: bdf },
  });
}

/** The IOMMU group of a function. @throws {RefusedError} `NO_MATCH`, `NO_IOMMU` */
export function groupOf(host: HostSnapshot, bdf: Bdf): number {
  const { iommuGroup } = hostFunction(host, bdf);
  if (iommuGroup === undefined) throw noIommu(bdf);
  return iommuGroup;
}

/** The key under which a group is reserved. */
export const groupKey = (group: number) => `group-${group}`;

/** Functions that are about to go to VFIO, and which findings may be passed over. */
export interface Targets {
  readonly targets: readonly Bdf[];
  readonly allow: ReadonlySet<string>;
}

/**
 * Everything on the host that speaks against handing these functions to whoever claims them.
 *
 * @throws {RefusedError} naming the culprit.
 */
export function checkTargets({ targets, allow }: Targets, claim: Claim, host: HostSnapshot): void {
  for (const bdf of targets) {
    const device = hostFunction(host, bdf);
    refuseQuarantined(bdf, claim);
    groupOf(host, bdf);
    if (device.bridge) {
      throw new RefusedError('DENIED', `${bdf} is a bridge; a bridge is never handed to a VM`, {
        remedy: 'name the device behind it, or use --members group',
        details: { device: bdf, classCode: device.classCode },
      });
    }
    refuseSystem(device, allow);
  }
  const groups = [...new Set(targets.map((bdf) => groupOf(host, bdf)))];
  // Who has it says more than how it shows.
  for (const group of groups) checkOwner(group, targets, claim, host);
  for (const bdf of targets) {
    refuseUses(bdf, allow, host);
  }
  for (const group of groups) checkViability(group, targets, host);
}

/**
 * What the host is made of comes along with no group: it is asked again here, because the functions were expanded
 * after the choice.
 */
function refuseSystem({ bdf, classCode }: HostDevice, allow: ReadonlySet<string>): void {
  const rule = systemRuleOf(classCode);
  if (rule === undefined || allow.has(rule.id)) return;
  throw new RefusedError('DENIED', `${bdf} is ${rule.about}, which the host needs`, {
    remedy: `leave its group to the host; or, knowing what that does: --allow ${rule.id}`,
    details: { device: bdf, rule: rule.id, classCode },
  });
}

/** A blocking finding that is not allowed by its reason. @throws {RefusedError} `IN_USE` */
export function refuseUses(bdf: Bdf, allow: ReadonlySet<string>, host: HostSnapshot): void {
  const finding = (host.uses.get(bdf) ?? []).find(
    (use) => use.level === 'block' && !allow.has(use.reason),
  );
  if (finding !== undefined) throw inUse(finding);
}

/** @throws {RefusedError} `QUARANTINED` */
export function refuseQuarantined(device: string, { quarantine }: Claim): void {
  const entry = quarantine.find((each) => each.device === device);
  if (entry !== undefined) throw quarantined(entry);
}

/**
 * Nobody else has the group: neither on paper nor open.
 *
 * @throws {RefusedError} `CONFLICT`, `GROUP_HELD`, `HOST_UNREADABLE`.
 */
export function checkOwner(
  group: number,
  devices: readonly string[],
  { scope, qemuPid, reservations }: Claim,
  host: HostSnapshot,
): void {
  const reservation = reservations.find((each) => each.key === groupKey(group));
  if (reservation !== undefined && reservation.scope !== scope) {
    throw conflict(reservation.key, scope, reservation);
  }
  checkHolders(group, devices, qemuPid, host);
}

function checkViability(group: number, targets: readonly Bdf[], host: HostSnapshot): void {
  const [culprit] = findCulprits(host, group, new Set(targets));
  if (culprit !== undefined) {
    throw new HostNotReadyError(
      'GROUP_NOT_VIABLE',
      `${targets.join(', ')}: IOMMU group ${group} also holds ${culprit.name} (driver ${culprit.driver})`,
      {
        remedy: culprit.remedy,
        details: { group, culprit: culprit.name, driver: culprit.driver },
      },
    );
  }
}

function checkHolders(
  group: number,
  devices: readonly string[],
  qemuPid: number | undefined,
  host: HostSnapshot,
): void {
  const holders = host.holders.get(group);
  if (holders === undefined) return;
  if (!holders.known) {
    throw new HostNotReadyError(
      'HOST_UNREADABLE',
      `${devices.join(', ')}: who holds IOMMU group ${group} cannot be told: ${holders.reason}`,
      { remedy: 'run as root', details: { group } },
    );
  }
  const stranger = holders.value.find((holder) => holder.pid !== qemuPid);
  if (stranger === undefined) return;
  throw new HostNotReadyError(
    'GROUP_HELD',
    `${devices.join(', ')}: ${stranger.node} is open in process ${stranger.pid} (${stranger.command})`,
    {
      remedy: `detach the device from that process, or end it: pid ${stranger.pid}`,
      details: { group, pid: stranger.pid, command: stranger.command, node: stranger.node },
    },
  );
}

function inUse({ bdf, reason, evidence, remedy }: UseFinding): HostNotReadyError {
  return new HostNotReadyError('IN_USE', `${bdf} is in use: ${evidence}`, {
    remedy: `${remedy}; or, knowing what that does: --allow ${reason}`,
    details: { device: bdf, reason, evidence },
  });
}
