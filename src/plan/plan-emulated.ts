import { InputError, RefusedError } from '../errors.js';
import type { JsonObject, JsonValue } from '../json.js';
import { known, type Known } from '../known.js';
import type { Bar } from '../pci/bar.js';
import {
  attachPlan,
  refuseLeaving,
  refuseTakenId,
  zpciFor,
  type AttachPlanning,
} from './attach-plan.js';
import { busKindOf } from './bus-kind.js';
import { EMULATED_ADD_DEADLINE_MS } from './deadlines.js';
import { emulatedBars } from './emulated-bars.js';
import { functionAt, placeIn } from './place-in.js';
import type { EmulatedRequest } from './request.js';
import type { AddDevice } from './steps.js';
import type { World } from './world.js';

/** One device that QEMU emulates, and the function it takes in its slot. */
interface EmulatedFunction {
  readonly id: string;
  /** 0-7. */
  readonly fn: number;
  readonly driver: string;
  readonly properties: JsonObject;
}

/**
 * The steps that add an emulated device, or the functions of one: 1 to 7 first and 0 last, because the guest
 * looks at a slot when function 0 arrives.
 *
 * @throws {InputError} {RefusedError}
 */
export function planEmulated(request: EmulatedRequest, world: World): AttachPlanning {
  const { vm } = world;
  const devices = devicesOf(request);
  const functions = devices
    .map((device, fn) => functionOf(device, fn, request))
    .sort((a, b) => Number(a.fn === 0) - Number(b.fn === 0));
  const ids = functions.map(({ id }) => id);
  const already = alreadyEmulated(request, ids, world);
  if (already !== undefined) return already;
  refuseLeaving(ids, world.leaving);
  for (const id of ids) refuseTakenId(id, vm);
  const several = functions.length > 1;
  if (several && vm.channels !== undefined) throw noFunctions(request.id);

  const bars = barsOf(devices);
  const place = placeIn(vm, {
    what: request.id,
    // Functions of a slot are all on PCI; a single device may be elsewhere.
    bus: several ? 'pci' : busKindOf(functions[0]?.driver ?? ''),
    port: request.port,
    bars,
    // Nothing of the host is at stake: what does not fit after all is told, or taken out again.
    mayGuess: true,
  });
  const judgeBars = !bars.known && place.devfn !== undefined;
  const adds = functions.map(({ id, fn, driver, properties }): AddDevice => ({
    kind: 'AddDevice',
    id,
    driver,
    ...functionAt(place, fn),
    host: undefined,
    properties: several && fn === 0 ? { ...properties, multifunction: true } : properties,
    deadlineMs: EMULATED_ADD_DEADLINE_MS,
    ...(judgeBars ? { judgeBars } : {}),
  }));
  return attachPlan(request, world, [...zpciFor(request, vm, adds), ...adds], {
    hosts: [],
    device: request.device,
  });
}

/** The id of a function: that of the device for function 0, and after a dot its number for the others. */
export function emulatedFunctionId(id: string, fn: number): string {
  return fn === 0 ? id : `${id}.${fn}`;
}

function devicesOf({ device }: EmulatedRequest): readonly JsonObject[] {
  // The guard of TypeScript does not tell a read-only list from an object.
  return Array.isArray(device) ? (device as readonly JsonObject[]) : [device as JsonObject];
}

/** What the plan decides, and what decides it for the user. */
const OURS = {
  id: 'pass it as --id',
  bus: 'choose the place with --port',
  addr: 'choose the place with --port',
  devno: 'choose the place with --port',
} as const;

function functionOf(
  { driver, ...properties }: JsonObject,
  fn: number,
  { id, device }: EmulatedRequest,
): EmulatedFunction {
  const what = Array.isArray(device) ? `Function ${fn}` : 'The device';
  if (typeof driver !== 'string') {
    throw new InputError('BAD_ARGUMENT', `${what} has no "driver"`, {
      remedy: 'for example --device \'{"driver":"pci-testdev"}\'',
    });
  }
  if (driver.startsWith('vfio-') || driver === 'zpci') throw notEmulated(driver);
  for (const [ours, remedy] of Object.entries(OURS)) {
    if (!(ours in properties)) continue;
    throw new InputError('BAD_ARGUMENT', `${what} must not name "${ours}": the plan does`, {
      remedy,
    });
  }
  if (Array.isArray(device)) refuseInList(what, driver, properties);
  return { id: emulatedFunctionId(id, fn), fn, driver, properties };
}

/** What can be said of a device by itself, but not of a function beside others. */
function refuseInList(what: string, driver: string, properties: JsonObject): void {
  if ('multifunction' in properties) {
    throw new InputError('BAD_ARGUMENT', `${what} must not name "multifunction": the plan does`, {
      remedy: 'leave it out: function 0 of a list has it',
    });
  }
  const bus = busKindOf(driver);
  if (bus === 'pci') return;
  throw new InputError('BAD_ARGUMENT', `${what}: a ${driver} is not on PCI, so it is no function`, {
    remedy: 'attach it by itself',
    details: { driver, bus },
  });
}

/** An s390x knows no functions: "multifunction not supported in s390" (hw/s390x/s390-pci-bus.c, 7.2). */
function noFunctions(id: string): RefusedError {
  return new RefusedError('UNSUPPORTED_MACHINE', `${id}: a slot of an s390x takes one function`, {
    remedy: 'attach the functions one at a time, each with an id of its own',
    details: { id },
  });
}

/** The BARs that share a port; known where those of each device are. */
function barsOf(devices: readonly JsonObject[]): Known<readonly Bar[]> {
  const all: Bar[] = [];
  for (const device of devices) {
    const bars = emulatedBars(device);
    if (!bars.known) return bars;
    all.push(...bars.value);
  }
  return known(all);
}

/** Behind these is a device of the host, which needs its checks, or of QEMU's that is made with another. */
function notEmulated(driver: string): InputError {
  return new InputError('PROPERTY_NOT_ALLOWED', `${driver} is not an emulated device`, {
    remedy:
      driver === 'zpci'
        ? 'attach its PCI device with --zpci-uid and --zpci-fid'
        : 'name the device of the host instead: qmplug attach VM DEVICE',
    details: { property: 'driver' },
  });
}

function alreadyEmulated(
  { id, device, port }: EmulatedRequest,
  ids: readonly string[],
  world: World,
): AttachPlanning | undefined {
  const { vm, attachments, leaving } = world;
  const present = new Set(vm.devices.map((each) => each.id));
  const mine = attachments.find((each) => each.functions.some((fn) => fn.id === id));
  if (mine === undefined || !present.has(id)) return undefined;
  refuseLeaving(ids, leaving);
  const [fn] = mine.functions;
  const asAsked =
    mine.device !== undefined &&
    sameJson(mine.device, device) &&
    ids.every((each) => present.has(each)) &&
    (port === undefined || port === fn?.port || port === fn?.addr);
  if (asAsked) return { kind: 'already', ids };
  throw new RefusedError(
    'ATTACHED_ELSEWHERE',
    `${id} is already in the VM on ${fn?.port}, but not as asked`,
    {
      remedy: `take it out first: qmplug detach VM ${id}`,
      details: { id, port: fn?.port ?? null },
    },
  );
}

function sameJson(a: JsonValue | undefined, b: JsonValue | undefined): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const [left, right] = [Object.entries(a), new Map(Object.entries(b))];
  return (
    left.length === right.size && left.every(([key, value]) => sameJson(value, right.get(key)))
  );
}
