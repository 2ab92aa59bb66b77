import { InputError, RefusedError } from '../errors.js';
import { readDriverWish } from '../host/driver-wish.js';
import type { HostEffects } from '../host/effects.js';
import { lookCloser, readHostSnapshot } from '../host/inventory.js';
import { rememberReads } from '../host/inventory/index.js';
import { readMdev, type Mdev } from '../host/mdev.js';
import { selectCandidate } from '../host/selector/index.js';
import type { HostSnapshot } from '../host/types.js';
import type { Bdf } from '../pci/pci-address.js';
import { isJsonObject, type JsonValue } from '../json.js';
import {
  MDEV_DRIVERS,
  type EmulatedDevice,
  type MdevAttachRequest,
  type MdevDriver,
  type PlanRequest,
} from '../plan/request.js';
import type { RouteWish } from '../plan/route.js';
import type { VmIdentity, VmKey } from '../vm/types.js';
import type { AttachHostDevice, AttachRequest } from './requests.js';
import { lookAtFunctions, type SelectionEnvironment } from './resolve-functions.js';
import { readVfToken } from './secrets.js';

/** A request the planner can read, with the host snapshot that goes with it. */
export interface ResolvedRequest {
  readonly request: PlanRequest;
  readonly host: HostSnapshot | undefined;
  /** The token of a VF, beside the request, which is told and kept. */
  readonly vfToken?: string | undefined;
}

/** The VM that is to get the device: what it has already stands in no way. */
export interface AskingVm {
  readonly identity: VmIdentity;
  readonly key: VmKey;
}

/**
 * Turns names into functions: selects the device, expands it to the members asked for, and chooses the VFIO
 * driver of each.
 *
 * @throws {InputError} {RefusedError} `NO_MATCH`, `AMBIGUOUS`, `NO_IOMMU`.
 */
export async function resolveRequest(
  request: AttachRequest,
  environment: SelectionEnvironment,
  vm: AskingVm,
): Promise<ResolvedRequest> {
  const common = {
    port: request.port,
    allow: new Set(request.allow),
    awaitPlaced: request.wait === 'placed',
    zpci: request.zpci,
  };
  if ('device' in request) return resolveHostDevice(request, common, environment, vm);
  const { id, emulate } = request;
  const device = readEmulated(emulate);
  return { request: { kind: 'emulated', id, device, ...common }, host: undefined };
}

const MOST_FUNCTIONS = 8;

/** One object, or a list of those that share a slot; a list of one is that one. @throws {InputError} */
function readEmulated(emulate: JsonValue): EmulatedDevice {
  if (isJsonObject(emulate)) return emulate;
  const list: readonly JsonValue[] = Array.isArray(emulate) ? emulate : [];
  const functions = list.filter((each) => isJsonObject(each));
  const [first] = functions;
  if (first === undefined || functions.length < list.length) {
    throw new InputError('BAD_ARGUMENT', 'An emulated device is named by an object or a list', {
      remedy: 'for example {"driver":"pci-testdev"}, or a list of such functions of one slot',
    });
  }
  if (functions.length > MOST_FUNCTIONS) {
    throw new InputError(
      'BAD_ARGUMENT',
      `A slot has ${MOST_FUNCTIONS} functions, not ${functions.length}`,
      {
        remedy: 'attach the others as a device of their own',
        details: { functions: functions.length },
      },
    );
  }
  return functions.length === 1 ? first : functions;
}

const ROUTES: readonly RouteWish[] = ['auto', 'group', 'iommufd', 'descriptors'];

/** @throws {InputError} `BAD_ARGUMENT` */
function routeOf({ route = 'auto' }: AttachHostDevice): RouteWish {
  if (ROUTES.includes(route)) return route;
  throw new InputError('BAD_ARGUMENT', `No route of a device: ${JSON.stringify(route)}`, {
    remedy: `one of ${ROUTES.join(', ')}`,
  });
}

async function resolveMdev(
  uuid: string,
  common: Pick<MdevAttachRequest, 'port' | 'allow' | 'awaitPlaced' | 'zpci' | 'route'>,
  effects: HostEffects,
  vm: VmIdentity,
): Promise<ResolvedRequest> {
  const mdev = await readMdev(effects, uuid);
  if (mdev?.group === undefined) {
    throw new RefusedError('NO_MATCH', `The host has no mediated device ${uuid}`, {
      remedy: 'list what it has: qmplug host mdev list',
      details: { device: uuid },
    });
  }
  const { group } = mdev;
  const driver = driverOf(mdev);
  const host = await lookCloser(effects, await readHostSnapshot(effects), {
    holders: [group],
    vmPid: vm.kind === 'process' ? vm.pid : undefined,
  });
  return { request: { kind: 'mdev', uuid, group, driver, ...common }, host };
}

function driverOf({ uuid, deviceApi }: Mdev): MdevDriver {
  // Kernels without the attribute have mediated PCI functions only.
  const driver = MDEV_DRIVERS.find((name) => name === (deviceApi ?? 'vfio-pci'));
  if (driver !== undefined) return driver;
  throw new RefusedError('NO_MDEV', `${uuid} speaks ${deviceApi}, which no device of QEMU takes`, {
    remedy: `choose a type whose device_api is one of ${MDEV_DRIVERS.join(', ')}: qmplug host mdev list`,
    details: { device: uuid, deviceApi: deviceApi ?? null },
  });
}

async function resolveHostDevice(
  request: AttachHostDevice,
  common: Pick<PlanRequest, 'port' | 'allow' | 'awaitPlaced' | 'zpci'>,
  environment: SelectionEnvironment,
  { identity, key }: AskingVm,
): Promise<ResolvedRequest> {
  const { device, members = 'device', reservedFor, rules } = request;
  const route = routeOf(request);
  const wish = readDriverWish(request.driver);
  const vfToken = readVfToken(request.vfToken);
  const { runtime, answers, logger, clock } = environment;
  const effects = rememberReads(environment.effects);
  const vmPid = identity.kind === 'process' ? identity.pid : undefined;
  const names = typeof device === 'string' ? [device] : device;
  const functions: Bdf[] = [];
  for (const name of names) {
    const chosen = await selectCandidate({ effects, runtime, answers, vmPid }, name, {
      scope: key,
      owner: reservedFor,
      rules,
      allow: [...common.allow],
      logger,
      clock,
    });
    if (chosen.kind === 'pci') functions.push(chosen.name);
    else if (names.length > 1) throw mdevAmongOthers(chosen.name);
    else if (wish === 'vfio-pci') throw hasNoDriver(chosen.name);
    else if (vfToken !== undefined) throw hasNoToken(chosen.name);
    else return resolveMdev(chosen.name, { ...common, route }, effects, identity);
  }
  if (functions.length === 0) {
    throw new InputError('BAD_ARGUMENT', 'No device is named', {
      remedy: 'name at least one, for example 0000:3b:00.0',
    });
  }
  const asking = { vmPid, scope: key, rules, allow: [...common.allow], wish };
  const { host, ...rest } = await lookAtFunctions(functions, members, { effects, runtime }, asking);
  const hasVfToken = vfToken !== undefined;
  return { request: { kind: 'vfio', ...rest, ...common, route, wish, hasVfToken }, host, vfToken };
}

function mdevAmongOthers(uuid: string): InputError {
  return new InputError('BAD_ARGUMENT', `${uuid} is a mediated device, and goes by itself`, {
    remedy: `attach it alone: qmplug attach VM ${uuid}`,
    details: { device: uuid },
  });
}

function hasNoToken(uuid: string): InputError {
  return new InputError('BAD_ARGUMENT', `${uuid} is a mediated device, which has no token`, {
    remedy: 'leave --vf-token out',
    details: { device: uuid },
  });
}

function hasNoDriver(uuid: string): InputError {
  return new InputError(
    'BAD_ARGUMENT',
    `${uuid} is a mediated device: its parent's driver has it`,
    {
      remedy: 'leave the choice of a driver out',
      details: { device: uuid },
    },
  );
}
