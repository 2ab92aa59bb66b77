import { HostNotReadyError, RefusedError } from '../errors.js';
import type { Mdev, MdevType } from '../host/mdev.js';
import type { Vgpu } from '../host/vgpu.js';
import type { Bdf } from '../pci/pci-address.js';
import { checkOwner, refuseQuarantined } from './checks.js';
import { hostPlan, keptSteps, type HostWorld } from './plan-host.js';
import type { HotplugPlan } from './steps.js';

/** What the host's parents offer and what is there. */
export interface MdevWorld extends HostWorld {
  readonly types: readonly MdevType[];
  readonly mdevs: readonly Mdev[];
}

export interface MdevRequest {
  readonly parent: string;
  readonly type: string;
  readonly uuid: string;
}

/**
 * The steps that make a mediated device.
 *
 * @returns undefined where it is there as asked.
 * @throws {RefusedError} `NO_MDEV`, `ID_TAKEN`, `QUARANTINED`.
 */
export function planCreateMdev(request: MdevRequest, world: MdevWorld): HotplugPlan | undefined {
  const { parent, type, uuid } = request;
  for (const device of [parent, uuid]) refuseQuarantined(device, world.claim);
  const there = world.mdevs.find((each) => each.uuid === uuid);
  if (there !== undefined) {
    if (there.parent === parent && there.type === type) return undefined;
    throw new RefusedError('ID_TAKEN', `${uuid} is a ${there.type} of ${there.parent} already`, {
      remedy: 'give another --uuid or --name',
      details: { uuid, parent: there.parent, type: there.type },
    });
  }
  refuseUnavailable(request, world.types);
  const steps = [{ kind: 'CreateMdev' as const, uuid, parent, type }];
  return hostPlan('mdev', [uuid], world, { steps, commitStep: 0 });
}

/**
 * The steps that remove a mediated device that `planCreateMdev` made.
 *
 * @returns undefined where it is gone.
 * @throws {RefusedError} `NOT_OURS`, `CONFLICT`, `GROUP_HELD`, `QUARANTINED`.
 */
export function planRemoveMdev(uuid: string, world: MdevWorld): HotplugPlan | undefined {
  const { claim, host, mdevs, planId } = world;
  refuseQuarantined(uuid, claim);
  const made = keptSteps(world.records, 'CreateMdev').filter(({ step }) => step.uuid === uuid);
  const there = mdevs.find((each) => each.uuid === uuid);
  if (there === undefined && made.length === 0) return undefined;
  if (made.length === 0) throw notOurs(uuid, `echo 1 > /sys/bus/mdev/devices/${uuid}/remove`);
  const group = there?.group;
  if (group !== undefined) checkOwner(group, [uuid], claim, host);
  const groups = group === undefined ? [] : [group];
  const steps = [
    ...groups.map((each) => ({ kind: 'ReserveGroup' as const, group: each, planId })),
    { kind: 'RemoveMdev' as const, uuid },
    ...groups.map((each) => ({ kind: 'ReleaseGroup' as const, group: each, planId })),
    ...made.map(({ planId: maker, index }) => ({
      kind: 'ForgetStep' as const,
      planId: maker,
      step: index,
    })),
  ];
  return hostPlan('mdev', [uuid], world, { steps, commitStep: groups.length });
}

/**
 * The steps that make a VF a vGPU of NVIDIA's.
 *
 * @param type id or name of a type.
 * @returns undefined where it is one as asked.
 * @throws {RefusedError} `NO_MDEV`, `CONFLICT`, `GROUP_HELD`, `QUARANTINED`.
 */
export function planCreateVgpu(
  { bdf, vgpu, type }: { bdf: Bdf; vgpu: Vgpu; type: string },
  world: HostWorld,
): HotplugPlan | undefined {
  refuseVgpuInUse(bdf, world);
  const made = keptSteps(world.records, 'SetVgpuType').find(({ step }) => step.bdf === bdf);
  if (made !== undefined && vgpu.current !== '0' && type === vgpu.current) return undefined;
  if (vgpu.current !== '0') {
    throw new RefusedError('ID_TAKEN', `${bdf} is a vGPU of type ${vgpu.current} already`, {
      remedy: `remove it first: qmplug host mdev remove ${bdf}`,
      details: { device: bdf, type: vgpu.current },
    });
  }
  const wanted = vgpu.creatable.find(({ id, name }) => id === type || name === type);
  if (wanted === undefined) {
    const offered = vgpu.creatable.map(({ id, name }) => `${id} (${name})`);
    throw noMdev(`${bdf} cannot become a vGPU of type ${type} now`, offered);
  }
  const steps = [{ kind: 'SetVgpuType' as const, bdf, type: wanted.id }];
  return hostPlan('vgpu', [bdf], world, { steps, commitStep: 0 });
}

/** The steps that make a vGPU an ordinary VF again. @throws {RefusedError} `NOT_OURS`, as above. */
export function planRemoveVgpu(
  { bdf, vgpu }: { bdf: Bdf; vgpu: Vgpu },
  world: HostWorld,
): HotplugPlan | undefined {
  const made = keptSteps(world.records, 'SetVgpuType').filter(({ step }) => step.bdf === bdf);
  const [first] = made;
  if (vgpu.current === '0' && first === undefined) return undefined;
  refuseVgpuInUse(bdf, world);
  // Another type than ours is a later owner's.
  if (first === undefined || (vgpu.current !== '0' && vgpu.current !== first.step.type)) {
    throw notOurs(bdf, `echo 0 > /sys/bus/pci/devices/${bdf}/nvidia/current_vgpu_type`);
  }
  const steps = [
    { kind: 'SetVgpuType' as const, bdf, type: '0' },
    ...made.map(({ planId, index }) => ({ kind: 'ForgetStep' as const, planId, step: index })),
  ];
  return hostPlan('vgpu', [bdf], world, { steps, commitStep: 0 });
}

function refuseVgpuInUse(bdf: Bdf, { claim, host }: HostWorld): void {
  refuseQuarantined(bdf, claim);
  const group = host.devices.get(bdf)?.iommuGroup;
  if (group !== undefined) checkOwner(group, [bdf], claim, host);
}

function refuseUnavailable({ parent, type }: MdevRequest, types: readonly MdevType[]): void {
  const ofParent = types.filter((each) => each.parent === parent);
  const found = ofParent.find((each) => each.type === type);
  if (found !== undefined && found.available > 0) return;
  const offered = ofParent
    .filter(({ available }) => available > 0)
    .map((each) => `${each.type} (${each.available})`);
  const why = found === undefined ? `offers no ${type}` : `has no ${type} left`;
  throw noMdev(`${parent} ${why}`, offered);
}

function noMdev(message: string, offered: readonly string[]): RefusedError {
  const now = offered.length === 0 ? 'it offers none' : `it offers ${offered.join(', ')}`;
  return new HostNotReadyError('NO_MDEV', message, {
    remedy: `${now}; see: qmplug host mdev list`,
    details: { offered },
  });
}

function notOurs(device: string, how: string): RefusedError {
  return new RefusedError('NOT_OURS', `${device} was not made by qmplug`, {
    remedy: `whoever made it has to remove it, for example: ${how}`,
    details: { device },
  });
}
