import { InputError, RefusedError } from '../errors.js';
import type { JsonObject } from '../json.js';
import { known, unknown } from '../known.js';
import type { Bar } from '../pci/bar.js';
import { formatFunctionId } from '../pci/function-id.js';
import { fitsHostProperty, parseBdf, type Bdf } from '../pci/pci-address.js';
import { portOf } from '../vm/port-of.js';
import type { VmDevice, VmSnapshot } from '../vm/types.js';
import { allocatePort } from './allocate.js';
import {
  attachPlan,
  refuseLeaving,
  refuseTakenId,
  zpciFor,
  type AttachPlanning,
} from './attach-plan.js';
import { bootOptionsForHost } from './boot-options.js';
import { busKindOf } from './bus-kind.js';
import type { HostSnapshot } from '../host/types.js';
import { neededMemlock } from '../host/memlock.js';
import { mdevPath } from '../host/mdev.js';
import { refuseOtherDriver } from '../host/driver-wish.js';
import { bindSteps } from './bind-steps.js';
import { functionsWithToken, ROUTE_WITH_TOKEN } from './vf-token.js';
import { checkOwner, checkTargets, groupOf, hostFunction, refuseQuarantined } from './checks.js';
import { vfioAddDeadlineMs } from './deadlines.js';
import { fitOnPort } from './fit.js';
import { functionIdOf } from './identify.js';
import { hostBehind } from './host-behind.js';
import { placeIn, placeOnPci } from './place-in.js';
import { groupBySlot } from './placement.js';
import { planEmulated } from './plan-emulated.js';
import type { MdevAttachRequest, PlanRequest, VfioRequest } from './request.js';
import { stepsOfRoute } from './plan-route.js';
import { chooseRoute, refuseMixedGroup } from './route.js';
import type { AddDevice, HotplugStep } from './steps.js';
import type { World } from './world.js';

export type { AttachPlanning };

/**
 * The steps that put the requested functions into the VM.
 *
 * @throws {RefusedError} whatever speaks against it; nothing was changed.
 */
export function planAttach(request: PlanRequest, world: World): AttachPlanning {
  switch (request.kind) {
    case 'vfio':
      return planVfio(request, world);
    case 'mdev':
      return planMdev(request, world);
    case 'emulated':
      return planEmulated(request, world);
  }
}

function planVfio(request: VfioRequest, world: World): AttachPlanning {
  const { vm, host } = world;
  if (host === undefined) throw new InputError('BAD_ARGUMENT', 'The host was not read');
  const already = alreadyAttached(request, world);
  if (already !== undefined) {
    refuseOtherDrivers(request, host);
    return already;
  }
  if (vm.identity.kind !== 'process') throw vmNotLocal(vm);
  const qemuPid = vm.identity.pid;
  const { reservations, quarantine } = world;
  checkTargets(request, { scope: vm.key, qemuPid, reservations, quarantine }, host);

  const groups = [...new Set(request.targets.map((bdf) => groupOf(host, bdf)))].sort(
    (a, b) => a - b,
  );
  const withToken = functionsWithToken(request, host, world.noVfToken);
  const route =
    withToken.size > 0 ? ROUTE_WITH_TOKEN : chooseRoute(request.route ?? 'auto', world.iommufd, vm);
  const members = groups.flatMap((group) => host.groups.get(group)?.members ?? []);
  refuseMixedGroup(route, vm, new Set<string>(members));
  const through = stepsOfRoute(route);
  const barsOf = (bdf: Bdf) => hostFunction(host, bdf).bars;
  const deadlineMs = vfioAddDeadlineMs(
    vm.ramBytes.known ? vm.ramBytes.value : undefined,
    request.targets.flatMap((bdf) => barsOf(bdf)),
  );
  const taken = new Set<string>();
  // The slots of a bridge share its windows.
  const promised = new Map<string, readonly Bar[]>();
  // Functions cannot share a slot on s390x.
  const slots =
    vm.channels === undefined
      ? groupBySlot(request.targets)
      : request.targets.map((bdf) => [{ bdf, function: 0 }]);
  const adds = slots.flatMap((functions): AddDevice[] => {
    const bars = functions.flatMap(({ bdf }) => barsOf(bdf));
    const port = allocatePort(
      vm,
      {
        what: functions.map(({ bdf }) => bdf).join(', '),
        port: request.port,
        numaNode: Math.max(...functions.map(({ bdf }) => hostFunction(host, bdf).numaNode)),
        bootOptions: bootOptionsForHost(functions.map(({ bdf }) => bdf)),
        fit: (candidate) =>
          fitOnPort(candidate, [...(promised.get(candidate.busPath) ?? []), ...bars]),
      },
      { taken, allowUnknownWindow: request.allow.has('unknown-window') },
    );
    taken.add(port.id);
    promised.set(port.busPath, [...(promised.get(port.busPath) ?? []), ...bars]);
    return functions.map(({ bdf, function: fn }): AddDevice => ({
      kind: 'AddDevice',
      id: functionIdOf(host, bdf),
      driver: 'vfio-pci',
      ...placeOnPci(port, fn),
      host: bdf,
      properties: {
        ...hostProperty(bdf),
        ...through.properties(functionIdOf(host, bdf)),
        ...(fn === 0 && functions.length > 1 ? { multifunction: true } : {}),
      },
      deadlineMs,
      ...(withToken.has(bdf) ? { withVfToken: true as const } : {}),
    }));
  });
  const ids = adds.map(({ id }) => id);
  refuseLeaving(ids, world.leaving);
  for (const id of ids) refuseTakenId(id, vm);

  const steps: HotplugStep[] = [
    ...groups.map((group) => ({ kind: 'ReserveGroup' as const, group, planId: world.planId })),
    ...bindSteps(request, host),
    ...groups.map((group) => ({
      kind: 'GrantAccess' as const,
      group,
      ...through.grant(request.targets.filter((bdf) => groupOf(host, bdf) === group)),
      qemuPid,
      memlockBytes: memlockNeed(vm, request.targets.length),
    })),
    ...through.before,
    ...zpciFor(request, vm, adds),
    ...adds,
  ];
  return attachPlan(request, world, steps, { hosts: request.targets, device: undefined }, route);
}

/** A mediated device has a driver and a group of its own, so there is nothing to bind. */
function planMdev(request: MdevAttachRequest, world: World): AttachPlanning {
  const { vm, host, planId, reservations, quarantine } = world;
  const { uuid, group, driver } = request;
  if (host === undefined) throw new InputError('BAD_ARGUMENT', 'The host was not read');
  const already = alreadyAttached({ ...request, targets: [uuid] }, world);
  if (already !== undefined) return already;
  if (vm.identity.kind !== 'process') throw vmNotLocal(vm);
  const qemuPid = vm.identity.pid;
  const claim = { scope: vm.key, qemuPid, reservations, quarantine };
  refuseQuarantined(uuid, claim);
  checkOwner(group, [uuid], claim, host);
  const id = formatFunctionId({ group, index: 0 });
  refuseTakenId(id, vm);
  const bus = busKindOf(driver);
  // Of the other kinds it is not known how they do.
  const wish = bus === 'pci' ? (request.route ?? 'auto') : 'group';
  const route = chooseRoute(wish, world.iommufd, vm);
  const through = stepsOfRoute(route);
  const add: AddDevice = {
    kind: 'AddDevice',
    id,
    driver,
    ...placeIn(vm, {
      what: uuid,
      bus,
      port: request.port,
      bars: bus === 'pci' ? unknown('the BARs of a mediated device show only in a VM') : known([]),
      mayGuess: request.allow.has('unknown-window'),
    }),
    host: uuid,
    properties: { sysfsdev: mdevPath(uuid), ...through.properties(id) },
    deadlineMs: vfioAddDeadlineMs(vm.ramBytes.known ? vm.ramBytes.value : undefined, []),
  };
  // Channels and queues pin the pages of a request, not the guest's RAM.
  const memlockBytes = bus === 'pci' ? memlockNeed(vm, 1) : undefined;
  const steps: readonly HotplugStep[] = [
    { kind: 'ReserveGroup', group, planId },
    { kind: 'GrantAccess', group, ...through.grant([uuid]), qemuPid, memlockBytes },
    ...through.before,
    ...zpciFor(request, vm, [add]),
    add,
  ];
  return attachPlan(request, world, steps, { hosts: [uuid], device: undefined }, route);
}

/** `host=` takes four digits of domain; a device behind Intel VMD goes in by its sysfs path. */
function hostProperty(bdf: Bdf): JsonObject {
  return fitsHostProperty(parseBdf(bdf))
    ? { host: bdf }
    : { sysfsdev: `/sys/bus/pci/devices/${bdf}` };
}

/** Virtual IOMMUs: behind one every device pins the RAM once more. */
const VIRTUAL_IOMMU = /^(intel-iommu|amd-iommu|virtio-iommu-pci|arm-smmuv3)$/;

/** What QEMU must be able to lock with `adding` more host devices; undefined where its RAM is unknown. */
export function memlockNeed(vm: VmSnapshot, adding: number): number | undefined {
  if (!vm.ramBytes.known) return undefined;
  const inside = vm.devices.filter((device) => hostBehind(device) !== undefined).length;
  const needed = neededMemlock({
    ramBytes: vm.ramBytes.value,
    hasVirtualIommu: vm.devices.some(({ type }) => VIRTUAL_IOMMU.test(type)),
    vfioDeviceCount: inside + adding,
  });
  return Number(needed);
}

function vmNotLocal(vm: VmSnapshot): RefusedError {
  const { identity } = vm;
  const address = identity.kind === 'address' ? identity.address : vm.key;
  const reason = identity.kind === 'address' ? identity.reason : undefined;
  return new RefusedError(
    'VM_NOT_LOCAL',
    `${address}: no QEMU process of this host is proven to be there${reason === undefined ? '' : ` (${reason})`}; a host device cannot go to it`,
    {
      remedy: 'use the unix socket of a QEMU on this host, or name its process with --qemu-pid',
      details: { vm: vm.key, address, reason: reason ?? null },
    },
  );
}

/** In the VM with another driver than asked for is not as asked. */
function refuseOtherDrivers({ targets, wish }: VfioRequest, host: HostSnapshot): void {
  for (const bdf of targets) {
    const { driver } = hostFunction(host, bdf);
    if (driver !== undefined) refuseOtherDriver(bdf, driver, wish);
  }
}

function alreadyAttached(
  request: { readonly targets: readonly string[]; readonly port: string | undefined },
  world: World,
): AttachPlanning | undefined {
  const { vm, leaving } = world;
  const found = request.targets.map((bdf) => ({
    bdf,
    device: vm.devices.find((device) => hostBehind(device) === bdf),
  }));
  const inside = found.filter(({ device }) => device !== undefined);
  if (inside.length === 0) return undefined;
  const ids = inside.flatMap(({ device }) => (device?.id === undefined ? [] : [device.id]));
  refuseLeaving(ids, leaving);
  const portIdOf = (device: VmDevice | undefined) => device && portOf(vm.ports, device)?.id;
  const elsewhere = inside.filter(
    ({ device }) => request.port !== undefined && portIdOf(device) !== request.port,
  );
  if (inside.length === found.length && elsewhere.length === 0 && ids.length === inside.length) {
    return { kind: 'already', ids };
  }
  const where = inside.map(({ bdf, device }) => `${bdf} as ${device?.path} on ${portIdOf(device)}`);
  throw new RefusedError(
    'ATTACHED_ELSEWHERE',
    `Already in the VM, but not as asked: ${where.join('; ')}`,
    {
      remedy: `take it out first: qmplug detach VM ${ids[0] ?? inside[0]?.bdf}`,
      details: { attached: inside.map(({ bdf, device }) => ({ bdf, path: device?.path ?? null })) },
    },
  );
}
