import type { Known } from '../known.js';
import { readSeat, type Seat } from './bus-tree.js';
import { mechanismOf } from './mechanism.js';
import type { PortBus } from './profiles/index.js';
import { valueOf, type QomReader, type Reading } from './qom.js';
import { readPlace, type Place } from './read-place.js';
import type { HotplugMechanism, VmSnapshot } from './types.js';

/** What QEMU says of one bus that has ports, `query-pci` apart. */
export interface PortReading extends FixedPortFacts {
  readonly bus: PortBus;
  /** Everything on the bus. */
  readonly occupants: readonly Occupant[];
}

/** Something on a bus. */
export interface Occupant {
  readonly path: string;
  /**
   * Where it is on a bus with many places, if it is none of the known devices: its device number, or its
   * address in the channel subsystem. Undefined where that is not known, or there is only one place.
   */
  readonly place: Place | undefined;
}

/** Facts of a port that cannot change while its VM runs. */
export interface FixedPortFacts {
  readonly seat: Seat;
  readonly mechanism: Known<HotplugMechanism>;
  readonly chassis: number | undefined;
  readonly slotNumber: number | undefined;
  readonly memoryReserve: bigint | undefined;
  readonly prefetchableReserve: bigint | undefined;
}

export interface PortContext {
  readonly reader: QomReader;
  /** `acpi` of the machine. */
  readonly machineAcpi: Reading<string>;
  /** Types of the known devices by path. */
  readonly types: ReadonlyMap<string, string>;
  readonly mechanism: HotplugMechanism | undefined;
  readonly previous: VmSnapshot | undefined;
}

type Listing = Reading<ReadonlyMap<string, string>>;

/** What the first round of questions tells of a port. */
interface FirstLook {
  readonly bus: PortBus;
  readonly listing: Listing;
  /** Known from an earlier snapshot. */
  readonly fixed: FixedPortFacts | undefined;
  readonly fresh:
    (Omit<FixedPortFacts, 'mechanism'> & { readonly handler: Reading<string> }) | undefined;
}

/** Value of a reserve that was not set: -1 in 64 bits (hw/pci/pci_bridge.h, 7.2). */
const UNSET = (1n << 64n) - 1n;

/**
 * Reads the ports; those that are gone are left out. Two rounds of commands, each asked at once: for each
 * port its bus, its handler, its seat and its properties; then what the first answers point at.
 */
export async function readPorts(
  context: PortContext,
  buses: readonly PortBus[],
): Promise<readonly PortReading[]> {
  const looks = await Promise.all(buses.map((bus) => lookAt(context, bus)));
  const present = looks.filter(({ listing }) => listing.kind !== 'gone');
  const [handlerTypes, hotplugs, occupants] = await Promise.all([
    readHandlerTypes(context, present),
    Promise.all(present.map((look) => readOwnHotplug(context, look))),
    Promise.all(present.map(({ bus, listing }) => readOccupants(context, bus, listing))),
  ]);
  return present.flatMap(({ bus, listing, fixed, fresh }, index): PortReading[] => {
    const on = { bus, occupants: occupants[index] ?? [] };
    if (fixed !== undefined) return [{ ...on, ...fixed }];
    if (fresh === undefined) return [];
    const { handler, ...facts } = fresh;
    const mechanism = mechanismOf({
      handlerType:
        handler.kind === 'value' ? (handlerTypes.get(handler.value) ?? handler) : handler,
      hasBsel: listing.kind === 'value' && listing.value.has('acpi-pcihp-bsel'),
      portHotplug: hotplugs[index],
      machineAcpi: context.machineAcpi,
      byMachine: context.mechanism,
    });
    return [{ ...on, ...facts, mechanism }];
  });
}

async function lookAt(context: PortContext, bus: PortBus): Promise<FirstLook> {
  const { reader, previous } = context;
  const fixed = previous && fixedFactsOf(previous, bus);
  const [listing, fresh] = await Promise.all([
    reader.list(bus.path),
    fixed === undefined ? readFresh(reader, bus) : undefined,
  ]);
  return { bus, listing, fixed, fresh };
}

async function readFresh(reader: QomReader, bus: PortBus) {
  const { path } = bus.device;
  const number = (property: PortBus['properties'][number], bits: number) =>
    bus.properties.includes(property) ? reader.unsigned(path, property, bits) : undefined;
  const [handler, seat, chassis, slot, memory, prefetchable] = await Promise.all([
    reader.text(bus.path, 'hotplug-handler'),
    readSeat(reader, path),
    number(bus.properties.includes('chassis_nr') ? 'chassis_nr' : 'chassis', 8),
    number('slot', 16),
    number('mem-reserve', 64),
    number('pref64-reserve', 64),
  ]);
  return {
    handler,
    seat,
    chassis: numberOf(chassis),
    slotNumber: numberOf(slot),
    memoryReserve: reserveOf(memory),
    prefetchableReserve: reserveOf(prefetchable),
  };
}

/** Types of all handlers by path; the few that are no known devices are asked for. */
async function readHandlerTypes(
  { reader, types }: PortContext,
  looks: readonly FirstLook[],
): Promise<ReadonlyMap<string, Reading<string>>> {
  const paths = new Set(
    looks.flatMap(({ fresh }) => {
      const path = valueOf(fresh?.handler) ?? '';
      return path === '' ? [] : [path];
    }),
  );
  const readings = [...paths].map(async (path): Promise<[string, Reading<string>]> => {
    const type = types.get(path);
    return [
      path,
      type === undefined ? await reader.text(path, 'type') : { kind: 'value', value: type },
    ];
  });
  return new Map(await Promise.all(readings));
}

/** `hotplug` of a port that is its own handler; nobody else's matters. */
async function readOwnHotplug(
  { reader }: PortContext,
  { bus, fresh }: FirstLook,
): Promise<Reading<boolean> | undefined> {
  return valueOf(fresh?.handler) === bus.device.path
    ? reader.boolean(bus.device.path, 'hotplug')
    : undefined;
}

/**
 * Everything on a bus, whoever made it: a bus has a `child[N]` link for each device. What cannot be
 * read occupies the bus by the name of its link. On a bus with many places a device that nobody added by
 * name or option is asked for its place.
 */
async function readOccupants(
  { reader, types }: PortContext,
  { path, kind, slots }: PortBus,
  listing: Listing,
): Promise<readonly Occupant[]> {
  if (listing.kind !== 'value') return [{ path: `${path}/(unreadable)`, place: undefined }];
  const links = [...listing.value.keys()].filter((name) => /^child\[\d+\]$/.test(name));
  const paths = await Promise.all(
    links.map(async (link) => {
      const target = await reader.text(path, link);
      if (target.kind === 'value') return target.value === '' ? [] : [target.value];
      return target.kind === 'unreadable' ? [`${path}/${link}`] : [];
    }),
  );
  const occupants = paths.flat().sort();
  const isStranger = (occupant: string) => slots.length > 1 && !types.has(occupant);
  return Promise.all(
    occupants.map(async (occupant) => ({
      path: occupant,
      place: isStranger(occupant) ? await readPlace(reader, kind, occupant) : undefined,
    })),
  );
}

/** The fixed facts of a port in an earlier snapshot, where it had them all. */
function fixedFactsOf(snapshot: VmSnapshot, bus: PortBus): FixedPortFacts | undefined {
  const port = snapshot.ports.find(({ busPath }) => busPath === bus.path);
  if (port?.type !== bus.device.type || !port.mechanism.known) return undefined;
  const device = snapshot.devices.find(({ path }) => path === bus.device.path);
  if (device?.devfn === undefined || device.parentBus === undefined) return undefined;
  const { mechanism, chassis, slotNumber, memoryReserve, prefetchableReserve } = port;
  const seat: Seat = {
    addr: { kind: 'value', value: BigInt(device.devfn) },
    parentBus: { kind: 'value', value: device.parentBus },
  };
  return { seat, mechanism, chassis, slotNumber, memoryReserve, prefetchableReserve };
}

function numberOf(reading: Reading<bigint> | undefined): number | undefined {
  const value = valueOf(reading);
  return value === undefined ? undefined : Number(value);
}

function reserveOf(reading: Reading<bigint> | undefined): bigint | undefined {
  const value = valueOf(reading);
  return value === UNSET ? undefined : value;
}
