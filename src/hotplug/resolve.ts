import { InputError, RefusedError } from '../errors.js';
import { chooseDriver, readDriverWish, type DriverWish } from '../host/driver-wish.js';
import type { HostEffects } from '../host/effects.js';
import { lookCloser, readHostSnapshot } from '../host/inventory.js';
import { rememberReads } from '../host/inventory/index.js';
import { readMdev, type Mdev } from '../host/mdev.js';
import { exists } from '../host/reading.js';
import {
  checkRules,
  isAddress,
  isExplicit,
  parseSelector,
  selectCandidate,
  selectDevice,
  type Rule,
  type SelectorRequest,
} from '../host/selector/index.js';
import type { HostSnapshot } from '../host/types.js';
import { compareBdf, toBdf, type Bdf } from '../pci/pci-address.js';
import { expandMembers, type Members } from '../plan/members.js';
import { isJsonObject, type JsonValue } from '../json.js';
import {
  MDEV_DRIVERS,
  type EmulatedDevice,
  type MdevAttachRequest,
  type MdevDriver,
  type PlanRequest,
} from '../plan/request.js';
import type { RouteWish } from '../plan/route.js';
import { isDeviceId } from '../qmp/argument-kinds.js';
import type { VmIdentity, VmKey } from '../vm/types.js';
import type { Environment } from './environment.js';
import type { AttachHostDevice, AttachRequest } from './requests.js';
import { readVfToken } from './secrets.js';

/** A request the planner can read, with the host snapshot that goes with it. */
export interface ResolvedRequest {
  readonly request: PlanRequest;
  readonly host: HostSnapshot | undefined;
  /** The token of a VF, beside the request, which is told and kept. */
  readonly vfToken?: string | undefined;
}

/** What a selector is resolved with. */
type SelectionEnvironment = Pick<
  Environment,
  'effects' | 'runtime' | 'answers' | 'logger' | 'clock'
>;

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

/** Functions that are to go to VFIO, and the host as it was seen. */
export interface ResolvedFunctions {
  /** In numeric order. */
  readonly targets: readonly Bdf[];
  readonly drivers: ReadonlyMap<Bdf, string>;
  readonly host: HostSnapshot;
}

/** Who asks for functions. */
export interface Asking {
  /** QEMU of the VM they are for: what it holds itself is no foreign use. */
  readonly vmPid: number | undefined;
  /** Whose reservations are no conflict. */
  readonly scope: string;
  /** A name that the devices may be set aside for. */
  readonly owner?: string | undefined;
  /** Rules before the default ones, asked of the devices and of all that goes with them. */
  readonly rules?: readonly Rule[] | undefined;
  readonly allow: readonly string[];
  /** The choice of the drivers. */
  readonly wish: DriverWish;
}

/**
 * Selects devices, expands each to the members asked for, looks how they are used, and chooses the VFIO driver
 * of each.
 *
 * @throws {InputError} {RefusedError} `NO_MATCH`, `AMBIGUOUS`, `NO_IOMMU`.
 */
export async function resolveFunctions(
  devices: readonly string[],
  members: Members,
  environment: SelectionEnvironment,
  asking: Asking,
): Promise<ResolvedFunctions> {
  const { vmPid, scope, owner, rules, allow } = asking;
  const { runtime, answers, logger, clock } = environment;
  const effects = rememberReads(environment.effects);
  const chosen: Bdf[] = [];
  for (const device of devices) {
    chosen.push(
      await selectDevice({ effects, runtime, answers, vmPid }, device, {
        scope,
        owner,
        rules,
        allow,
        logger,
        clock,
      }),
    );
  }
  return lookAtFunctions(chosen, members, { effects, runtime }, asking);
}

/** What goes along with functions, how all of them are used, and the VFIO driver of each. */
async function lookAtFunctions(
  chosen: readonly Bdf[],
  members: Members,
  { effects, runtime }: Pick<Environment, 'effects' | 'runtime'>,
  { vmPid, rules, allow, wish }: Asking,
): Promise<ResolvedFunctions> {
  const first = await readHostSnapshot(effects);
  const expanded = chosen.flatMap((bdf) => expandMembers(first, bdf, members));
  const targets = [...new Set(expanded)].sort(compareBdf);
  await checkRules({ effects, runtime }, targets, { rules, allow });
  const groups = targets.flatMap((target) => first.devices.get(target)?.iommuGroup ?? []);
  const host = await lookCloser(effects, first, {
    uses: targets,
    holders: [...new Set(groups)],
    vmPid,
  });
  const drivers = new Map<Bdf, string>();
  for (const target of targets) {
    drivers.set(target, await chooseDriver(effects, target, host.devices.get(target), wish));
  }
  return { targets, drivers, host };
}

/** The names of what is in a VM, or on record as being there. */
export interface NamesInVm {
  readonly ids: ReadonlySet<string>;
  /** Host addresses, and UUIDs of mediated devices. */
  readonly hosts: ReadonlySet<string>;
}

/**
 * What a detach names: the id as it is, or the canonical address of a host function. The host need not have a
 * function that is named by its address any more: taking out what is gone is a success. A description is
 * looked for among the devices that are in the VM.
 *
 * @param inVm what the VM has; asked only where that matters.
 * @throws {InputError} `BAD_ID` for what is neither; `SYNTAX`.
 * @throws {RefusedError} `AMBIGUOUS`; `NO_MATCH` for a description.
 */
export async function resolveTarget(
  what: string,
  { effects }: SelectionEnvironment,
  inVm: () => Promise<NamesInVm>,
): Promise<string> {
  const isId = isDeviceId(what) && !isAddress(what);
  if (isId && !(await isCdev(effects, what))) return what;
  if (isId && (await inVm()).ids.has(what)) return what;
  const { expression } = readTarget(what);
  const explicit = isExplicit(expression);
  const among = explicit ? undefined : (await inVm()).hosts;
  try {
    return (await selectCandidate({ effects }, what, { guarded: false, among })).name;
  } catch (error) {
    const isGone = error instanceof RefusedError && error.code === 'NO_MATCH';
    const name = nameIn(expression);
    if (!isGone || name === undefined) throw error;
    return name;
  }
}

/** The address or UUID that stands in the selector itself. */
function nameIn(expression: SelectorRequest['expression']): string | undefined {
  if (!isExplicit(expression) || expression.kind !== 'values') return undefined;
  const test = expression.tests[0]?.test;
  if (expression.field === 'file' || test === undefined) return undefined;
  if (test.kind === 'text') return test.text;
  // An address without its domain: of domain 0, where the host has it in none.
  return test.kind === 'glob' ? toBdf(test.pattern.replace(/^\*:/, '')) : undefined;
}

/** An id may look like the name of a cdev; it is one only where the host has it. */
async function isCdev(effects: HostEffects, what: string): Promise<boolean> {
  return /^vfio\d+$/.test(what) && exists(effects, `/dev/vfio/devices/${what}`);
}

/** What looks like neither an id nor a selector is more likely a mistyped id. */
function readTarget(what: string): SelectorRequest {
  try {
    return parseSelector(what);
  } catch (cause) {
    if (/[:\s{]/.test(what)) throw cause;
    throw new InputError('BAD_ID', `Neither an id nor a device: ${JSON.stringify(what)}`, {
      cause,
      remedy: 'name it by its id or its host address; qmplug status VM lists both',
    });
  }
}
