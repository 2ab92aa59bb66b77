import { RefusedError } from '../errors.js';
import { snapshotHash } from '../vm/hash.js';
import { isInPort, portOf } from '../vm/port-of.js';
import type { Port, VmDevice, VmSnapshot } from '../vm/types.js';
import { presentIds, type Attachment } from './attachment.js';
import type { World } from './world.js';
import type { HotplugPlan, HotplugStep, RemoveDevice } from './steps.js';

/** What a detach is about once it was looked up. */
export type DetachTarget =
  | { readonly kind: 'attachment'; readonly attachment: Attachment }
  /** Attached by somebody else; what it takes to restore the host is not ours to know. */
  | { readonly kind: 'foreign'; readonly device: VmDevice }
  | { readonly kind: 'gone' };

/**
 * Looks up an id, or a host function by its canonical address.
 */
export function findDetachTarget(what: string, { vm, attachments }: World): DetachTarget {
  const attachment = attachments.findLast((each) =>
    each.functions.some((fn) => fn.id === what || fn.host === what),
  );
  if (attachment !== undefined) return { kind: 'attachment', attachment };
  const device = vm.devices.find(
    ({ id, host, sysfsdev }) => id === what || host === what || sysfsdev?.endsWith(`/${what}`),
  );
  return device === undefined ? { kind: 'gone' } : { kind: 'foreign', device };
}

/**
 * The steps that take an attachment out of the VM and give the host back, finished as far as the world
 * already is: what is gone from the VM is not asked for again.
 *
 * @throws {RefusedError} `SLOT_SHARED` when something of somebody else would go too.
 */
export function planDetach(
  attachment: Attachment,
  world: World,
  allow: ReadonlySet<string>,
): HotplugPlan {
  const present = new Set(presentIds(attachment, world.vm));
  const portIds = [...new Set(attachment.functions.map((fn) => fn.port))];
  const removals = portIds.flatMap((portId): RemoveDevice[] => {
    const ids = attachment.functions
      .filter((fn) => fn.port === portId && present.has(fn.id))
      .map((fn) => fn.id);
    return removalOf(world.vm, portId, ids, allow);
  });
  const freed = attachment.groups.filter((group) => !isShared(group, attachment, world));
  const restores = stepsBack(attachment, freed);
  const forget: HotplugStep[] =
    freed.length === attachment.groups.length
      ? [{ kind: 'ForgetAttachment', planId: attachment.planId }]
      : [];
  const ids = attachment.functions.map((fn) => fn.id);
  const leaving = [...ids, ...partnersOf(world.vm, ids)];
  return detachPlan(world, ids, attachment.planId, [
    ...removals,
    {
      kind: 'AwaitRemoval',
      ids: leaving,
      groups: freed,
      ...(attachment.viaCdev === true ? { cdevs: true } : {}),
      asks: removals.map(({ id }) => id),
    },
    ...(attachment.iommufd === undefined
      ? []
      : [{ kind: 'RemoveIommufd' as const, id: attachment.iommufd }]),
    ...restores,
    ...forget,
  ]);
}

/**
 * The steps that take out a device somebody else attached; its host driver stays as it is.
 *
 * @throws {RefusedError} `NOT_REMOVABLE`, `SLOT_SHARED`.
 */
export function planForeignDetach(
  device: VmDevice,
  world: World,
  allow: ReadonlySet<string>,
): HotplugPlan {
  const { id, parentBus, type, path } = device;
  const port = portOf(world.vm.ports, device);
  if (type === 'zpci') throw zpciAlone(device, world.vm);
  if (id === undefined || port === undefined) {
    throw new RefusedError('NOT_REMOVABLE', `${path} (${type}) is on no hot-plug port of this VM`, {
      remedy: 'only what sits in a port can be taken out while the VM runs: qmplug topology VM',
      details: { path, type, bus: parentBus ?? null },
    });
  }
  const ids = [id];
  const removals = removalOf(world.vm, port.id, ids, allow);
  return detachPlan(world, ids, undefined, [
    ...removals,
    {
      kind: 'AwaitRemoval',
      ids: removals.flatMap((step) => step.ids),
      groups: [],
      asks: removals.map((step) => step.id),
    },
  ]);
}

/** QEMU dies when it is asked to delete a zpci whose device is not there (7.2, 10.0). */
function zpciAlone({ id, path }: VmDevice, { channels }: VmSnapshot): RefusedError {
  const target = channels?.zpci.find((zpci) => zpci.path === path)?.target ?? 'its device';
  return new RefusedError(
    'NOT_REMOVABLE',
    `${id ?? path} is the zpci of ${target} and goes with it`,
    {
      remedy: `take out the device: qmplug detach VM ${target}`,
      details: { path, target },
    },
  );
}

function detachPlan(
  { planId, vm, address }: World,
  ids: readonly string[],
  attachment: string | undefined,
  steps: readonly HotplugStep[],
): HotplugPlan {
  return {
    id: planId,
    kind: 'detach',
    scope: vm.key,
    subject: { kind: 'detach', address, vm: vm.identity, attachment, ids },
    steps,
    // Once the guest has been asked there is no way back: it may have begun to let go.
    commit: { step: 0, at: 'intended' },
    snapshotHash: snapshotHash(vm),
  };
}

function removalOf(
  vm: VmSnapshot,
  portId: string,
  ids: readonly string[],
  allow: ReadonlySet<string>,
): RemoveDevice[] {
  const id = ids.at(-1);
  const port = vm.ports.find((each) => each.id === portId);
  if (id === undefined || port === undefined) return [];
  refuseUnpluggable(port, id);
  const mates = slotMates(vm, port, ids);
  if (mates.length > 0 && !allow.has('slot-mates')) throw slotShared(port, id, mates);
  const all = [...ids, ...mates.flatMap((mate) => (mate.id === undefined ? [] : [mate.id]))];
  return [{ kind: 'RemoveDevice', port: port.id, id, ids: [...all, ...partnersOf(vm, all)] }];
}

/** A removal takes the whole slot, so whatever else is in it goes too; channel devices go one by one. */
function slotMates(vm: VmSnapshot, port: Port, ids: readonly string[]): readonly VmDevice[] {
  if (port.capacity > 1) return [];
  return vm.devices.filter(
    (device) =>
      isInPort(port, vm.ports, device) && (device.id === undefined || !ids.includes(device.id)),
  );
}

/** The zpci devices that somebody made for these devices; they go along by themselves. */
function partnersOf({ channels }: VmSnapshot, ids: readonly string[]): readonly string[] {
  const partners = (channels?.zpci ?? []).filter(({ target }) => ids.includes(target));
  return partners.flatMap(({ id }) => (id === undefined ? [] : [id]));
}

function slotShared(port: Port, id: string, mates: readonly VmDevice[]): RefusedError {
  const names = mates.map((mate) => mate.id ?? mate.path);
  return new RefusedError(
    'SLOT_SHARED',
    `${id} shares port ${port.id} with ${names.join(', ')}; taking it out takes them out too`,
    {
      remedy: 'if that is meant: --allow slot-mates',
      details: { id, port: port.id, mates: names },
    },
  );
}

function refuseUnpluggable(port: Port, id: string): void {
  if (!port.mechanism.known || port.mechanism.value !== 'none') return;
  throw new RefusedError('NOT_REMOVABLE', `${id} sits in ${port.id}, which takes no hot-unplug`, {
    remedy: 'the port was made with hotplug=off; the device leaves with the VM',
    details: { id, port: port.id },
  });
}

/** Whether another attachment of this VM still has devices of the group inside. */
function isShared(group: number, mine: Attachment, { attachments, vm }: World): boolean {
  return attachments.some(
    (other) =>
      other.planId !== mine.planId &&
      other.groups.includes(group) &&
      presentIds(other, vm).length > 0,
  );
}

/** The host's way back, for the groups of which nothing stays in the VM. */
function stepsBack(attachment: Attachment, freed: readonly number[]): readonly HotplugStep[] {
  const { planId, grants, bindings } = attachment;
  const isFreed = (group: number) => freed.includes(group);
  return [
    ...grants
      .filter(({ step }) => isFreed(step.group))
      .map(({ step: { group }, record }) => ({
        kind: 'RevokeAccess' as const,
        group,
        record,
        planId,
      })),
    ...bindings
      .filter(({ step }) => isFreed(step.group))
      .map(({ step: { bdf, group }, record }) => ({
        kind: 'RestoreDriver' as const,
        bdf,
        group,
        record,
        id: attachment.functions.find((fn) => fn.host === bdf)?.id,
      })),
    ...freed.map((group) => ({ kind: 'ReleaseGroup' as const, group, planId })),
  ];
}
