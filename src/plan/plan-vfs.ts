import type { VfChange } from '../host/effects.js';
import { HostNotReadyError, RefusedError } from '../errors.js';

import { isHarmlessDriver, isVfioDriver } from '../host/vfio-drivers.js';
import type { HostDevice } from '../host/types.js';
import { compareBdf, type Bdf } from '../pci/pci-address.js';
import { checkOwner, hostFunction, refuseQuarantined, refuseUses } from './checks.js';
import { hostPlan, recordOf, type HostWorld } from './plan-host.js';
import type { HotplugPlan, HotplugStep } from './steps.js';

export interface VfsRequest {
  readonly pf: Bdf;
  /** How many there are to be; 0 for none. */
  readonly count: number;
  readonly allow: ReadonlySet<string>;
  /** What VFs are to be like, by their number; those there are already must be nobody's. */
  readonly changes?: ReadonlyMap<number, VfChange> | undefined;
  /** The PF's network interface, where anything is to be changed. */
  readonly netdev?: string | undefined;
}

/** The VFs that a PF has now, in numeric order. */
export function vfsOf(pf: Bdf, { host }: Pick<HostWorld, 'host'>): readonly HostDevice[] {
  return [...host.devices.values()]
    .filter(({ physfn }) => physfn === pf)
    .sort((a, b) => compareBdf(a.bdf, b.bdf));
}

/**
 * The steps that give a PF so many VFs. From one number to another the kernel goes by way of none, so every VF
 * that is there has to be nobody's.
 *
 * @returns undefined where it has as many already.
 * @throws {RefusedError} whatever speaks against it.
 */
export function planVfs(
  { pf, count, allow, changes = new Map(), netdev = '' }: VfsRequest,
  world: HostWorld,
): HotplugPlan | undefined {
  const { host, claim } = world;
  const device = hostFunction(host, pf);
  refuseQuarantined(pf, claim);
  refuseImpossible(device, count);
  const isSame = device.vfCount === count;
  if (isSame && changes.size === 0) return undefined;
  if (device.iommuGroup !== undefined) checkOwner(device.iommuGroup, [pf], claim, host);
  const going = vfsOf(pf, world);
  for (const vf of going) refuseUsed(vf, allow, world);
  const groups = [...new Set(going.flatMap(({ iommuGroup }) => iommuGroup ?? []))];
  const reserve = (kind: 'ReserveGroup' | 'ReleaseGroup') =>
    groups.map((group) => ({ kind, group, planId: world.planId }));
  const remove: readonly HotplugStep[] =
    device.vfCount === 0 || isSame ? [] : [{ kind: 'RemoveVfs', pf }];
  const create: readonly HotplugStep[] =
    count === 0 || isSame ? [] : [{ kind: 'CreateVfs', pf, count }];
  const set = [...changes].map(([index, change]): HotplugStep => ({
    kind: 'SetVf',
    pf,
    netdev,
    index,
    change,
  }));
  const work = [...reserve('ReserveGroup'), ...remove, ...create, ...set];
  return hostPlan('vfs', [pf], world, {
    steps: [...work, ...reserve('ReleaseGroup')],
    commitStep: work.length - 1,
  });
}

function refuseImpossible({ bdf, vfTotal, driver, physfn }: HostDevice, count: number): void {
  const refuse = (why: string, remedy: string) => {
    throw new HostNotReadyError('NO_VFS', `${bdf}: ${why}`, {
      remedy,
      details: { device: bdf, asked: count, total: vfTotal, driver: driver ?? null },
    });
  };
  if (vfTotal === 0) {
    const pf = physfn === undefined ? '' : `; its physical function is ${physfn}`;
    refuse(`it cannot have virtual functions${pf}`, 'name a physical function with SR-IOV');
  }
  if (count > vfTotal) {
    refuse(`it can have ${vfTotal} virtual functions, not ${count}`, `ask for ${vfTotal} at most`);
  }
  // Its driver makes them; the kernel answers ENOENT without one that can (sriov_numvfs_store).
  if (driver === undefined || isHarmlessDriver(driver)) {
    refuse(
      `its own driver makes virtual functions, and it is on ${driver ?? 'no driver'}`,
      `give it back to its driver: qmplug host release ${bdf}`,
    );
  }
}

function refuseUsed(
  { bdf, iommuGroup, driver }: HostDevice,
  allow: ReadonlySet<string>,
  world: HostWorld,
): void {
  const { claim, host } = world;
  refuseQuarantined(bdf, claim);
  if (iommuGroup !== undefined) checkOwner(iommuGroup, [bdf], claim, host);
  if (driver !== undefined && isVfioDriver(driver)) {
    const isOurs = recordOf(bdf, world) !== undefined;
    const who = isOurs ? 'qmplug host bind' : 'somebody else';
    throw new RefusedError('CONFLICT', `${bdf} is bound to ${driver} by ${who}`, {
      remedy: isOurs
        ? `give it back first: qmplug host release ${bdf}`
        : `whoever bound it has to take it back: echo ${bdf} > /sys/bus/pci/drivers/${driver}/unbind`,
      details: { device: bdf, driver },
    });
  }
  refuseUses(bdf, allow, host);
}
