import { known, unknown, type Known } from '../known.js';
import { completeSeats, ownerOf, routeOf, type Route, type Seat } from './bus-tree.js';
import type { PciDeviceInfo } from '../qmp/query-pci.js';
import { NOT_NUMBERED, viewBridge, type BridgeView } from './pci-view.js';
import { toKnown, valueOf, type QomReader } from './qom.js';
import { portIdOf } from './profiles/index.js';
import type { DeviceReading } from './read-devices.js';
import type { Occupant, PortReading } from './read-ports.js';
import { SET_SIZE, parseDevno } from '../ccw/index.js';
import type { Port, VmBus, VmDevice } from './types.js';

/** Everything that was read of a VM's devices. */
export interface Readings {
  readonly ports: readonly PortReading[];
  readonly others: readonly DeviceReading[];
  readonly view: Known<readonly PciDeviceInfo[]>;
}

export interface PlacedDevices {
  readonly ports: readonly Port[];
  readonly buses: ReadonlyMap<string, VmBus>;
  readonly devices: readonly VmDevice[];
}

/** Puts the readings together: who sits where, and which bus has which number in the guest. */
export async function assemble(reader: QomReader, readings: Readings): Promise<PlacedDevices> {
  const seated = [
    ...readings.ports.map(({ bus, seat }) => ({ device: bus.device, seat })),
    ...readings.others.map(({ device, seat }) => ({ device, seat })),
  ];
  const seats = new Map(seated.map(({ device, seat }) => [device.path, seat]));
  const allSeats = await completeSeats(reader, seats);
  const routes = new Map([...seats.keys()].map((path) => [path, routeOf(allSeats, path)]));
  for (const { bus } of readings.ports) {
    // The ports of a root bus hang on nothing but its host bridge.
    if (bus.kind === 'root-bus-slot') {
      routes.set(bus.device.path, { kind: 'rooted', path: [], rootBus: bus.path });
    }
  }
  const roots = await readRoots(reader, readings.others, routes);
  const buses = numberBuses({ seated, routes, roots, readings });
  const ports = readings.ports.flatMap((port) => portsOf(port, { routes, roots, buses, readings }));
  return {
    ports: ports.sort(comparePorts),
    buses: new Map(
      [...buses].map(([path, { isRoot, number }]) => [path, { path, isRoot, number }]),
    ),
    devices: devicesOf(readings),
  };
}

interface Root {
  readonly number: Known<number>;
  readonly numaNode: number | undefined;
}

interface NumberedBus {
  readonly isRoot: boolean;
  readonly number: Known<number>;
  /** The bridge in front of the bus, as the guest has it. */
  readonly bridge: Known<BridgeView>;
}

/**
 * The root buses that devices are on. The host bridge of a pxb is an object of its own, and its bus has
 * the id of the pxb (hw/pci-bridge/pci_expander_bridge.c, 7.2).
 */
async function readRoots(
  reader: QomReader,
  others: readonly DeviceReading[],
  routes: ReadonlyMap<string, Route>,
): Promise<ReadonlyMap<string, Root>> {
  const paths = new Set<string>();
  for (const route of routes.values()) if (route.kind === 'rooted') paths.add(route.rootBus);
  const roots = [...paths].map(async (path): Promise<[string, Root]> => {
    const type = toKnown(await reader.text(ownerOf(path) ?? path, 'type'), 'the host bridge');
    if (!type.known) return [path, { number: type, numaNode: undefined }];
    if (type.value === 'spapr-pci-host-bridge' && !path.endsWith('/pci.0')) {
      const number = unknown('which domain a further host bridge has in the guest is not known');
      return [path, { number, numaNode: undefined }];
    }
    if (type.value !== 'pxb-host') return [path, { number: known(0), numaNode: undefined }];
    const id = path.slice(path.lastIndexOf('/') + 1);
    const pxb = others.find((other) => other.device.id === id)?.pxb;
    const number = pxb && toKnown(pxb.busNumber, 'the bus number of the pxb');
    if (number === undefined || !number.known) {
      return [path, { number: number ?? unknown('its pxb has no id'), numaNode: undefined }];
    }
    return [path, { number: known(Number(number.value)), numaNode: pxb?.numaNode }];
  });
  return new Map(await Promise.all(roots));
}

/**
 * The buses with their numbers, from the roots down. A bridge is found in `query-pci` by its id, and one
 * without an id by its address, which needs the number of the bus above it.
 */
function numberBuses(input: {
  readonly seated: readonly {
    readonly device: { readonly id: string | undefined; readonly path: string };
    readonly seat: Seat;
  }[];
  readonly routes: ReadonlyMap<string, Route>;
  readonly roots: ReadonlyMap<string, Root>;
  readonly readings: Readings;
}): ReadonlyMap<string, NumberedBus> {
  const { seated, routes, roots, readings } = input;
  const { view } = readings;
  const noBridge = unknown('a root bus has no bridge');
  const buses = new Map<string, NumberedBus>();
  for (const [path, { number }] of roots)
    buses.set(path, { isRoot: true, number, bridge: noBridge });

  const pciSeats = seated.filter(
    ({ device, seat }) => routes.get(device.path)?.kind === 'rooted' && seat.addr.kind === 'value',
  );
  const owners = new Map(pciSeats.map((each) => [each.device.path, each]));
  const busPaths = new Set(
    readings.ports.filter(({ bus }) => isPci(bus.kind)).map(({ bus }) => bus.path),
  );
  for (const { seat } of pciSeats) {
    const parent = valueOf(seat.parentBus);
    if (parent !== undefined) busPaths.add(parent);
  }

  const bridgeOf = (path: string): Known<BridgeView> => {
    const owner = owners.get(ownerOf(path) ?? '');
    if (!view.known) return view;
    if (owner === undefined) return unknown('where the bridge is cannot be read');
    const { id } = owner.device;
    const above = busAt(valueOf(owner.seat.parentBus) ?? '');
    const devfn = Number(valueOf(owner.seat.addr) ?? -1);
    const found = view.value.find((fn) =>
      id === undefined
        ? above.number.known && fn.bus === above.number.value && fn.slot * 8 + fn.function === devfn
        : fn.qdevId === id,
    );
    if (found?.bridge !== undefined) return known(viewBridge(found.bridge));
    return unknown(NOT_NUMBERED);
  };
  const busAt = (path: string): NumberedBus => {
    const present = buses.get(path);
    if (present !== undefined) return present;
    const bridge = bridgeOf(path);
    const number = bridge.known ? bridge.value.secondaryBus : bridge;
    const bus = { isRoot: false, number, bridge };
    buses.set(path, bus);
    return bus;
  };
  for (const path of busPaths) busAt(path);
  return buses;
}

function portsOf(
  port: PortReading,
  placed: {
    readonly routes: ReadonlyMap<string, Route>;
    readonly roots: ReadonlyMap<string, Root>;
    readonly buses: ReadonlyMap<string, NumberedBus>;
    readonly readings: Readings;
  },
): readonly Port[] {
  const { bus, occupants, mechanism, chassis, slotNumber } = port;
  const route = placed.routes.get(bus.device.path) ?? { kind: 'not-pci' };
  const root = route.kind === 'rooted' ? placed.roots.get(route.rootBus) : undefined;
  const bridge = bridgeBefore(bus.kind, placed.buses.get(bus.path));
  const ofBridge = <T>(pick: (bridge: BridgeView) => Known<T>) =>
    bridge.known ? pick(bridge.value) : bridge;
  const misplaced =
    route.kind === 'rooted' || !isPci(bus.kind)
      ? undefined
      : unknown(route.kind === 'unknown' ? route.reason : 'the port has no PCI address');
  const isSingle = bus.slots.length === 1;
  return bus.slots.map((slot) => ({
    id: portIdOf(bus, slot),
    kind: bus.kind,
    type: bus.device.type,
    busPath: bus.path,
    busName: bus.name,
    slot,
    capacity: bus.kind === 'ccw-bridge' ? SET_SIZE : 1,
    // A port whose place is not known is not to be used.
    mechanism: misplaced ?? mechanism,
    chassis,
    slotNumber,
    numaNode: root?.numaNode,
    rootBus: root?.number ?? misplaced ?? unknown(NO_PCI),
    path: route.kind === 'rooted' ? route.path : [],
    secondaryBus:
      bus.kind === 'root-bus-slot'
        ? (root?.number ?? unknown(NOT_NUMBERED))
        : ofBridge((found) => found.secondaryBus),
    memoryWindow: ofBridge((found) => found.memoryWindow),
    prefetchableWindow: ofBridge((found) => found.prefetchableWindow),
    ...(isSingle || !bridge.known ? {} : { takenSpans: bridge.value.takenSpans }),
    memoryReserve: port.memoryReserve,
    prefetchableReserve: port.prefetchableReserve,
    occupants: occupants
      .filter((occupant) => isSingle || isIn(slot, occupant, placed.readings))
      .map(({ path }) => path),
  }));
}

const NO_PCI = 'it is not on PCI';
const NO_WINDOWS = 'a root bus has no windows; what its host bridge has room for is not told';

function isPci(kind: Port['kind']): boolean {
  return kind !== 'ccw-bridge' && kind !== 'ap-bus';
}

function bridgeBefore(kind: Port['kind'], bus: NumberedBus | undefined): Known<BridgeView> {
  if (!isPci(kind)) return unknown(NO_PCI);
  if (kind === 'root-bus-slot') return unknown(NO_WINDOWS);
  return bus?.bridge ?? unknown(NOT_NUMBERED);
}

/** Whether someone on a bus is in one of its slots; whoever's place is not known may be in any. */
function isIn(slot: number, { path, place }: Occupant, { ports, others }: Readings): boolean {
  const other = others.find(({ device }) => device.path === path);
  const devno = place?.kind === 'devno' ? place.devno : other?.devno;
  if (devno !== undefined) return parseDevno(devno).ssid === slot;
  const seat = other?.seat ?? ports.find(({ bus }) => bus.device.path === path)?.seat;
  const devfn = place?.kind === 'devfn' ? place.devfn : valueOf(seat?.addr);
  return devfn === undefined || Number(devfn) >> 3 === slot;
}

function devicesOf({ ports, others }: Readings): readonly VmDevice[] {
  const placeOf = ({ addr, parentBus }: Seat) => {
    const devfn = valueOf(addr);
    return {
      parentBus: valueOf(parentBus),
      devfn: devfn === undefined ? undefined : Number(devfn),
    };
  };
  const named = ({ id, path, type }: { id: string | undefined; path: string; type: string }) => ({
    id,
    path,
    type,
  });
  return [
    ...ports
      // Host bridges are parts of the machine.
      .filter(({ bus }) => isPci(bus.kind) && bus.kind !== 'root-bus-slot')
      .map(({ bus, seat }) => ({
        ...named(bus.device),
        ...placeOf(seat),
        host: undefined,
        sysfsdev: undefined,
      })),
    ...others.map(({ device, seat, host, sysfsdev, iommufd, devno }) => ({
      ...named(device),
      ...placeOf(seat),
      host,
      sysfsdev,
      ...(iommufd === undefined ? {} : { iommufd }),
      ...(devno === undefined ? {} : { devno }),
    })),
  ].sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** By root bus and guest path: the lowest-numbered port first. */
function comparePorts(a: Port, b: Port): number {
  const root = (port: Port) => (port.rootBus.known ? port.rootBus.value : Infinity);
  if (root(a) !== root(b)) return root(a) - root(b);
  for (const [level, left] of a.path.entries()) {
    const right = b.path[level];
    if (right === undefined) return 1;
    const difference = left.device - right.device || left.function - right.function;
    if (difference !== 0) return difference;
  }
  return a.path.length - b.path.length || a.slot - b.slot || (a.id < b.id ? -1 : 1);
}
