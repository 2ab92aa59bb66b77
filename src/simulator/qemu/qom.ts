import type { JsonValue } from '../../json.js';
import { isClosed, isHotpluggable } from './acpi-hotplug.js';
import { deviceNotFound, QmpFailure } from './failure.js';
import { LPC_PATH, ROOT_BUS_PATH, type Machine } from './machine.js';
import { isMainframe } from './mainframe-buses.js';
import { mainframeObject } from './mainframe.js';
import type { PciBus, PciDevice } from './model.js';
import { canonicalHost, ramOf } from './vfio-device.js';

interface QomProperty {
  readonly name: string;
  readonly type: string;
  /** Undefined for what the simulator lists but has no value for. */
  readonly value: JsonValue | undefined;
}

interface QomObject {
  readonly type: string;
  readonly properties: readonly QomProperty[];
}

const property = (name: string, type: string, value?: JsonValue): QomProperty => ({
  name,
  type,
  value,
});

/** `qom-list`. @throws {QmpFailure} DeviceNotFound */
export function qomList(machine: Machine, path: string): JsonValue {
  const object = lookUp(machine, path);
  if (object === undefined) throw deviceNotFound(path);
  return [
    { name: 'type', type: 'string' },
    ...object.properties.map(({ name, type }) => ({ name, type })),
  ];
}

/** `qom-get`. @throws {QmpFailure} */
export function qomGet(machine: Machine, path: string, name: string): JsonValue {
  const object = lookUp(machine, path);
  if (object === undefined) throw deviceNotFound(path);
  if (name === 'type') return object.type;
  const found = object.properties.find((candidate) => candidate.name === name);
  if (found === undefined) throw new QmpFailure(`Property '${object.type}.${name}' not found`);
  return found.value ?? '';
}

export function qomExists(machine: Machine, path: string): boolean {
  return lookUp(machine, path) !== undefined;
}

/** Absolute paths, and last components where only one object has the name. */
function lookUp(machine: Machine, path: string): QomObject | undefined {
  if (path.startsWith('/')) return atPath(machine, normalise(path));
  const candidates = allPaths(machine).filter((known) => known.endsWith(`/${path}`));
  const [only] = candidates;
  return path !== '' && candidates.length === 1 && only !== undefined
    ? atPath(machine, only)
    : undefined;
}

const normalise = (path: string) => `/${path.split('/').filter(Boolean).join('/')}`;

function allPaths(machine: Machine): readonly string[] {
  return [
    ...FIXED_PATHS,
    ...machine.devices.map(({ path }) => path),
    ...machine.devices.flatMap((device) => innerObjects(device).map(({ value }) => value)),
    ...machine.buses.map(({ path }) => path),
    ...[...machine.objects.keys()].map((id) => `/objects/${id}`),
  ];
}

const FIXED_PATHS = [
  '/machine',
  '/machine/peripheral',
  '/machine/peripheral-anon',
  '/machine/unattached',
  '/machine/q35',
  '/machine/q35/mch',
  LPC_PATH,
  '/objects',
];

function atPath(machine: Machine, path: string): QomObject | undefined {
  if (isMainframe(machine.config) && !COMMON_PATHS.has(path)) {
    const found = mainframeObject(machine, path);
    if (found === undefined) return innerObject(machine, path);
    const properties = found.properties.map((each) => property(...each));
    return { type: found.type, properties: [...properties, ...innerObjectsAt(machine, path)] };
  }
  const fixed = fixedObject(machine, path);
  if (fixed) return fixed;
  const bus = machine.buses.find((candidate) => candidate.path === path);
  if (bus) return busObject(machine, bus);
  const device = machine.findByPath(path);
  if (device) return deviceObject(machine, device);
  const expander = machine.devices.find(
    ({ childBus }) => childBus?.typeName === 'pxb-pcie-bus' && path === parentPath(childBus.path),
  );
  if (expander) return { type: 'pxb-host', properties: [property('parent_bus', 'link<bus>')] };
  return innerObject(machine, path);
}

/** What every machine has in the same place. */
const COMMON_PATHS: ReadonlySet<string> = new Set([
  ...['/', '/objects', '/machine/peripheral', '/machine/peripheral-anon'],
]);

const parentPath = (path: string) => path.slice(0, path.lastIndexOf('/'));

function fixedObject(machine: Machine, path: string): QomObject | undefined {
  const { major, minor } = machine.release;
  const machineType = `pc-q35-${major}.${minor}-machine`;
  const container = (properties: readonly QomProperty[]): QomObject => ({
    type: 'container',
    properties,
  });
  switch (path) {
    case '/':
      return container([
        property('objects', 'child<container>', '/objects'),
        property('machine', `child<${machineType}>`, '/machine'),
        property('chardevs', 'child<container>', '/chardevs'),
      ]);
    case '/machine':
      return machineObject(machineType);
    case '/machine/peripheral':
      return container(childrenUnder(machine, '/machine/peripheral'));
    case '/machine/peripheral-anon':
      return container(childrenUnder(machine, '/machine/peripheral-anon'));
    case '/machine/unattached':
      return container([property('device[2]', 'child<ICH9-LPC>', LPC_PATH)]);
    case '/objects':
      return container([
        property('pc.ram', 'child<memory-backend-ram>', '/objects/pc.ram'),
        ...[...machine.objects].map(([id, { type }]) =>
          property(id, `child<${type}>`, `/objects/${id}`),
        ),
      ]);
    case '/machine/q35':
      return {
        type: 'q35-pcihost',
        properties: [
          property('parent_bus', 'link<bus>', '/machine/unattached/sysbus/main-system-bus'),
          property('pcie.0', 'child<PCIE>', ROOT_BUS_PATH),
          property('mch', 'child<mch>', '/machine/q35/mch'),
          property('pci-hole64-size', 'size', 34_359_738_368),
        ],
      };
    case '/machine/q35/mch':
      return builtIn('mch', 0);
    case LPC_PATH:
      return builtIn('ICH9-LPC', 0xf8);
    default:
      return path.startsWith('/objects/') ? plainObject(machine, path) : undefined;
  }
}

function plainObject(machine: Machine, path: string): QomObject | undefined {
  const id = path.slice('/objects/'.length);
  if (id === 'pc.ram') {
    const size = property('size', 'int', Number(ramOf(machine)));
    return { type: 'memory-backend-ram', properties: [size] };
  }
  const type = machine.objects.get(id)?.type;
  return type === undefined ? undefined : { type, properties: [] };
}

function machineObject(type: string): QomObject {
  const child = (name: string, childType: string) =>
    property(name, `child<${childType}>`, `/machine/${name}`);
  return {
    type,
    properties: [
      property('acpi', 'OnOffAuto', 'auto'),
      child('peripheral', 'container'),
      child('peripheral-anon', 'container'),
      child('unattached', 'container'),
      child('q35', 'q35-pcihost'),
    ],
  };
}

function builtIn(type: string, devfn: number): QomObject {
  return {
    type,
    properties: [
      property('parent_bus', 'link<bus>', ROOT_BUS_PATH),
      property('addr', 'int32', devfn),
      property('realized', 'bool', true),
    ],
  };
}

function childrenUnder(machine: Machine, container: string): readonly QomProperty[] {
  return machine.devices
    .filter(({ path }) => parentPath(path) === container)
    .map(({ path, type }) =>
      property(path.slice(container.length + 1), `child<${type.name}>`, path),
    );
}

/** Functions of q35 itself that come first on its root bus. */
function rootBusChildren({ release: { ahciIndex } }: Machine): readonly QomProperty[] {
  return [
    property('child[0]', 'link<mch>', '/machine/q35/mch'),
    property('child[1]', 'link<ICH9-LPC>', LPC_PATH),
    property('child[2]', 'link<ich9-ahci>', `/machine/unattached/device[${ahciIndex}]`),
    property('child[3]', 'link<ICH9-SMB>', `/machine/unattached/device[${ahciIndex + 1}]`),
  ];
}

function busObject(machine: Machine, bus: PciBus): QomObject {
  const builtIn = bus.bridge === undefined ? rootBusChildren(machine) : [];
  return {
    type: bus.typeName,
    properties: [
      property('realized', 'bool', true),
      ...builtIn,
      ...bus.children.map(({ index, device }) =>
        property(`child[${index + builtIn.length}]`, `link<${device.type.name}>`, device.path),
      ),
      ...(bus.bsel === undefined ? [] : [property('acpi-pcihp-bsel', 'uint32', bus.bsel)]),
      property('hotplug-handler', 'link<hotplug-handler>', handlerOf(machine, bus)),
    ],
  };
}

function handlerOf({ config, release }: Machine, bus: PciBus): string {
  const byAcpi = bus.hotplug === 'acpi' || (bus.hotplug === 'none' && config.hotplug !== 'native');
  const keeps = release.closedPortKeepsHandler && (bus.bridge === undefined || isClosed(bus));
  if (bus.hotplug === 'acpi' || (byAcpi && keeps)) return LPC_PATH;
  return bus.hotplug === 'none' ? '' : (bus.bridge?.path ?? '');
}

function deviceObject(machine: Machine, device: PciDevice): QomObject {
  const { type, properties, childBus, bus } = device;
  const own = type.properties.map((spec) =>
    property(spec.name, spec.type, propertyValue(device, spec.name)),
  );
  const busProperty =
    childBus && type.kind !== 'host-bridge'
      ? [property(childBus.name, `child<${childBus.typeName}>`, childBus.path)]
      : [];
  return {
    type: type.name,
    properties: [
      property('parent_bus', 'link<bus>', bus.path),
      property('realized', 'bool', true),
      property('hotplugged', 'bool', device.hotplugged),
      property('hotpluggable', 'bool', isHotpluggable(machine, bus)),
      ...own.map((entry) =>
        entry.name === 'addr' ? { ...entry, value: properties.get('addr') } : entry,
      ),
      property('legacy-addr', 'str', legacyAddr(device.devfn)),
      ...busProperty,
      ...innerObjects(device),
    ],
  };
}

function legacyAddr(devfn: number): string {
  return `${(devfn >> 3).toString(16).padStart(2, '0')}.${devfn & 7}`;
}

/** vfio-pci always knows its sysfs path; an unset `host` reads as all ones. */
function propertyValue({ type, properties }: PciDevice, name: string): JsonValue | undefined {
  const value = properties.get(name);
  if (!type.name.startsWith('vfio-pci')) return value;
  const host = properties.get('host');
  if (name === 'host') return typeof host === 'string' ? canonicalHost(host) : 'ffff:ff:ff.f';
  // A link reads as the path of what it leads to.
  if (name === 'iommufd') return typeof value === 'string' ? `/objects/${value}` : '';
  if (name === 'sysfsdev' && value === undefined && typeof host === 'string') {
    return `/sys/bus/pci/devices/${canonicalHost(host)}`;
  }
  return value;
}

/** What a device has inside, as children of it; the value is the path. */
function innerObjects({
  id,
  path,
  type,
}: PciDevice): readonly (QomProperty & { readonly value: string })[] {
  const { inner, innerBus } = type;
  const bus = innerBus && { name: id ?? `${innerBus}.0`, type: innerBus };
  return [inner, bus].flatMap((each) => {
    if (each === undefined || each === '') return [];
    const value = `${path}/${each.name}`;
    return [{ ...property(each.name, `child<${each.type}>`), value }];
  });
}

function innerObjectsAt(machine: Machine, path: string): readonly QomProperty[] {
  const device = machine.findByPath(path);
  return device === undefined ? [] : innerObjects(device);
}

function innerObject(machine: Machine, path: string): QomObject | undefined {
  const device = machine.findByPath(parentPath(path));
  const found = device && innerObjects(device).find(({ value }) => value === path);
  return found && { type: found.type.slice('child<'.length, -1), properties: [] };
}
