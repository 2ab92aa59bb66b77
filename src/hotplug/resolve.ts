import { InputError, RefusedError } from '../errors.js';
import type { HostEffects } from '../host/effects.js';
import { parseSelector, selectDevice } from '../host/device-selector.js';
import { lookCloser, readDevices, readHostSnapshot } from '../host/inventory.js';
import { chooseVfioModule } from '../host/variant.js';
import type { HostSnapshot } from '../host/types.js';
import { toBdf, type Bdf } from '../pci/pci-address.js';
import { expandMembers } from '../plan/members.js';
import type { PlanRequest } from '../plan/request.js';
import { isDeviceId } from '../qmp/argument-kinds.js';
import type { VmIdentity } from '../vm/types.js';
import type { AttachHostDevice, AttachRequest } from './requests.js';

/** A request the planner can read, with the host snapshot that goes with it. */
export interface ResolvedRequest {
  readonly request: PlanRequest;
  readonly host: HostSnapshot | undefined;
}

/**
 * Turns names into functions: selects the device, expands it to the members asked for, and chooses the VFIO
 * driver of each.
 *
 * @throws {InputError} {RefusedError} `NO_MATCH`, `AMBIGUOUS`, `NO_IOMMU`.
 */
export async function resolveRequest(
  request: AttachRequest,
  effects: HostEffects,
  vm: VmIdentity,
): Promise<ResolvedRequest> {
  const common = {
    port: request.port,
    allow: new Set(request.allow),
    awaitPlaced: request.wait === 'placed',
  };
  if ('device' in request) return resolveHostDevice(request, common, effects, vm);
  if (typeof request.emulate !== 'object' || request.emulate === null) {
    throw new InputError('BAD_ARGUMENT', 'An emulated device is named by an object', {
      remedy: 'for example {"driver":"pci-testdev"}',
    });
  }
  const { id, emulate: device } = request;
  return { request: { kind: 'emulated', id, device, ...common }, host: undefined };
}

async function resolveHostDevice(
  { device, members = 'device' }: AttachHostDevice,
  common: Pick<PlanRequest, 'port' | 'allow' | 'awaitPlaced'>,
  effects: HostEffects,
  vm: VmIdentity,
): Promise<ResolvedRequest> {
  const first = await readHostSnapshot(effects);
  const { bdf } = selectDevice(device, first.devices);
  const targets = expandMembers(first, bdf, members);
  const groups = targets.flatMap((target) => first.devices.get(target)?.iommuGroup ?? []);
  const host = await lookCloser(effects, first, {
    uses: targets,
    holders: [...new Set(groups)],
    vmPid: vm.kind === 'process' ? vm.pid : undefined,
  });
  const drivers = new Map<Bdf, string>();
  for (const target of targets) {
    drivers.set(target, await vfioDriverFor(effects, host, target));
  }
  return { request: { kind: 'vfio', targets, drivers, ...common }, host };
}

/** The driver's directory where it is loaded; else the name it will have once it is. */
async function vfioDriverFor(effects: HostEffects, host: HostSnapshot, bdf: Bdf): Promise<string> {
  const module = await chooseVfioModule(effects, host.devices.get(bdf)?.modalias);
  return module === 'vfio_pci' ? 'vfio-pci' : module;
}

/**
 * What a detach names: the id as it is, or the canonical address of a host function. The host need not have the
 * function any more; taking out what is gone is a success.
 *
 * @throws {InputError} `BAD_ID` for what is neither. @throws {RefusedError} `AMBIGUOUS`.
 */
export async function resolveTarget(what: string, effects: HostEffects): Promise<string> {
  if (!isSelector(what)) {
    if (isDeviceId(what)) return what;
    throw new InputError('BAD_ID', `Neither an id nor a device: ${JSON.stringify(what)}`, {
      remedy: 'name it by its id or its host address; qmplug status VM lists both',
    });
  }
  try {
    return selectDevice(what, await readDevices(effects)).bdf;
  } catch (error) {
    if (!(error instanceof RefusedError) || error.code !== 'NO_MATCH') throw error;
    return isDeviceId(what) ? what : canonicalOr(what);
  }
}

function isSelector(text: string): boolean {
  try {
    parseSelector(text);
    return true;
  } catch {
    return false;
  }
}

function canonicalOr(text: string): string {
  try {
    return toBdf(text);
  } catch {
    return text;
  }
}
