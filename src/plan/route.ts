import { HostNotReadyError, RefusedError } from '../errors.js';
import { hostBehind } from './host-behind.js';
import type { VmDevice, VmSnapshot } from '../vm/types.js';

/**
 * How a device of the host comes into a VM. `group`: QEMU opens the node of its IOMMU group. `iommufd`: QEMU opens
 * /dev/iommu and the device's own node. `descriptors`: as `iommufd`, but QEMU is handed both open, and needs no
 * access to either.
 */
export type Route = 'group' | 'iommufd' | 'descriptors';

/** What was asked for; `auto` takes iommufd where everything for it is there. */
export type RouteWish = Route | 'auto';

/** What iommufd takes, as far as it was looked at. Each is a reason in words, undefined where nothing is missing. */
export interface IommufdFacts {
  readonly hostLacks: string | undefined;
  /** Why it is not certain that the host has it. */
  readonly hostUnsure: string | undefined;
  readonly qemuLacks: string | undefined;
  /** Why QEMU cannot open /dev/iommu by itself. */
  readonly closedToQemu: string | undefined;
  /** Why descriptors cannot be handed to it. */
  readonly noDescriptors: string | undefined;
}

/** The route that was taken, and why. */
export interface ChosenRoute {
  readonly kind: Route;
  /** In words, completes "because ...". */
  readonly why: string;
  /** The iommufd object; undefined for the group. */
  readonly object: string | undefined;
}

/** The one iommufd object of ours in a VM; one that somebody else has made is used and never deleted. */
export const IOMMUFD_ID = 'qmplug-iommufd';

/**
 * Chooses the way of a device into a VM. Mixing both ways in one VM is possible, and pins its memory twice, so a VM
 * goes on as it began.
 *
 * @param facts undefined where they were not read: then it is the group.
 * @throws {HostNotReadyError} `NO_IOMMUFD`; {RefusedError} `NO_IOMMUFD`, `NO_FD_PASSING`: what was asked for
 * by name cannot be had.
 */
export function chooseRoute(
  wish: RouteWish,
  facts: IommufdFacts | undefined,
  vm: VmSnapshot,
): ChosenRoute {
  const byGroup = (why: string): ChosenRoute => ({ kind: 'group', why, object: undefined });
  if (wish === 'group') return byGroup('it was asked for');
  if (facts === undefined) return byGroup('nobody looked for iommufd');
  if (wish === 'auto') return auto(facts, vm, byGroup);
  if (facts.hostLacks !== undefined) throw hostLacks(facts.hostLacks);
  if (facts.qemuLacks !== undefined) throw qemuLacks(facts.qemuLacks);
  const kind = wish === 'descriptors' ? wish : openedBy(facts, vm);
  if (kind === undefined || (kind === 'descriptors' && facts.noDescriptors !== undefined)) {
    throw closed(wish, facts);
  }
  return { kind, why: 'it was asked for', object: objectFor(kind, vm) };
}

function auto(
  facts: IommufdFacts,
  vm: VmSnapshot,
  byGroup: (why: string) => ChosenRoute,
): ChosenRoute {
  const other = vfioDevices(vm).find(({ iommufd }) => iommufd === undefined);
  if (other !== undefined) return byGroup(`${other.id ?? other.path} came through its group`);
  const lack = facts.hostLacks ?? facts.hostUnsure ?? facts.qemuLacks;
  if (lack !== undefined) return byGroup(lack);
  const kind = openedBy(facts, vm);
  if (kind === undefined) return byGroup(`${facts.closedToQemu}, and ${facts.noDescriptors}`);
  const why = kind === 'iommufd' ? 'host and QEMU have it' : `${facts.closedToQemu}`;
  return { kind, why, object: objectFor(kind, vm) };
}

/** Who opens the nodes; undefined where nobody can. */
function openedBy(
  { closedToQemu, noDescriptors }: IommufdFacts,
  vm: VmSnapshot,
): Exclude<Route, 'group'> | undefined {
  if (closedToQemu === undefined) return 'iommufd';
  if (noDescriptors === undefined) return 'descriptors';
  // QEMU has it open already, for a device that is in.
  return objectInUse(vm) === undefined ? undefined : 'iommufd';
}

/** The object that has the VM's memory mapped already, or one that is there, or ours, to be made. */
function objectFor(kind: Exclude<Route, 'group'>, vm: VmSnapshot): string {
  const inUse = objectInUse(vm);
  if (inUse !== undefined) return inUse;
  const there = [...vm.objects].filter(([, type]) => type === 'iommufd').map(([id]) => id);
  // Whether an idle one of somebody else's could open the node cannot be seen.
  if (kind === 'descriptors' || there.includes(IOMMUFD_ID)) return IOMMUFD_ID;
  return there.sort()[0] ?? IOMMUFD_ID;
}

function objectInUse(vm: VmSnapshot): string | undefined {
  return vfioDevices(vm).find(({ iommufd }) => iommufd !== undefined)?.iommufd;
}

/** Devices of the host that are in the VM. */
function vfioDevices(vm: VmSnapshot): readonly VmDevice[] {
  return vm.devices.filter(({ type }) => type.startsWith('vfio-'));
}

/**
 * The kernel lets a group be open through its node or through the nodes of its devices, never through both
 * (vfio_device_block_group, drivers/vfio/group.c, 6.12).
 *
 * @param mates what else is in the groups.
 * @throws {RefusedError} `ATTACHED_ELSEWHERE`
 */
export function refuseMixedGroup(
  { kind }: ChosenRoute,
  vm: VmSnapshot,
  mates: ReadonlySet<string>,
): void {
  const viaGroup = kind === 'group';
  const other = vfioDevices(vm).find((device) => {
    const host = hostBehind(device);
    return host !== undefined && mates.has(host) && viaGroup !== (device.iommufd === undefined);
  });
  if (other === undefined) return;
  const [theirs, option] = viaGroup ? ['iommufd', '--iommufd'] : ['its group', '--no-iommufd'];
  throw new RefusedError(
    'ATTACHED_ELSEWHERE',
    `${other.id ?? other.path} of the same IOMMU group is in the VM through ${theirs}; the kernel does not mix both`,
    { remedy: `attach it the same way: ${option}`, details: { id: other.id ?? null } },
  );
}

function hostLacks(why: string): HostNotReadyError {
  return new HostNotReadyError('NO_IOMMUFD', `No device can go in through iommufd: ${why}`, {
    remedy:
      'use the group: --no-iommufd; or boot a kernel with CONFIG_IOMMUFD and CONFIG_VFIO_DEVICE_CDEV',
    details: { why },
  });
}

function qemuLacks(why: string): RefusedError {
  return new RefusedError('NO_IOMMUFD', `No device can go in through iommufd: ${why}`, {
    remedy: 'use the group: --no-iommufd; QEMU has iommufd from 9.0 on',
    details: { why },
  });
}

function closed(wish: RouteWish, { closedToQemu, noDescriptors }: IommufdFacts): RefusedError {
  const reasons = wish === 'descriptors' ? [noDescriptors] : [closedToQemu, noDescriptors];
  const why = reasons.filter((each) => each !== undefined).join('; ');
  return new RefusedError('NO_FD_PASSING', `QEMU cannot be handed the device: ${why}`, {
    remedy:
      'install koffi (npm install koffi) and use a unix socket; or give QEMU access: chgrp kvm /dev/iommu',
    details: { why },
  });
}
