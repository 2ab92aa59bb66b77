import { formatDevno, isDevno, parseDevno } from '../../ccw/index.js';
import type { JsonObject, JsonValue } from '../../json.js';
import type { DeviceType } from './device-types.js';
import { QmpFailure } from './failure.js';
import type { Machine } from './machine.js';
import { AP_BUS } from './mainframe-buses.js';
import type { PciBus, PciDevice } from './model.js';
import { propertyList } from './properties.js';
import { realizeVfio } from './vfio-device.js';

/*
 * Channel devices and crypto queues of an s390-ccw-virtio. Texts, QOM and removal are those of QEMU 7.2.22 and
 * 10.0.13 as far as they could be seen without the hardware; what vfio-ccw and vfio-ap do beyond their refusal
 * was read in the source (hw/vfio/ccw.c, hw/vfio/ap.c, 10.0). PCI functions are not simulated here.
 */

function type(name: string, bus: PciBus['typeName'], properties: string): MainframeType {
  return {
    ...{ name, kind: 'endpoint', vendorId: 0, deviceId: 0, classCode: 0, irqPin: 0 },
    properties: propertyList(properties),
    regions: () => [],
    bus,
  };
}

interface MainframeType extends DeviceType {
  readonly bus: PciBus['typeName'];
}

const TYPES: ReadonlyMap<string, MainframeType> = new Map(
  [
    {
      ...type('virtio-rng-ccw', 'virtual-css-bus', 'devno:str max_revision:uint32=2'),
      inner: { name: 'virtio-backend', type: 'virtio-rng-device' },
    },
    type('vfio-ccw', 'virtual-css-bus', 'devno:str sysfsdev:str force-orb-pfch:bool=false'),
    type('vfio-ap', 'ap-bus', 'sysfsdev:str'),
  ].map((each) => [each.name, each]),
);

export const mainframeType = (name: string): DeviceType | undefined => TYPES.get(name);

/** `device_add` of a mainframe. @throws {QmpFailure} */
export function addMainframeDevice(
  machine: Machine,
  { driver, bus: _bus, id, ...given }: JsonObject,
  hotplugged: boolean,
): PciDevice {
  const wanted = textOf(driver);
  const found = TYPES.get(wanted);
  if (found === undefined) throw new QmpFailure(`'${wanted}' is not a valid device model name`);
  const bus = machine.buses.find(({ typeName }) => typeName === found.bus);
  if (bus === undefined) {
    throw new QmpFailure(`No '${found.bus}' bus found for device '${found.name}'`);
  }
  // There is one place for a matrix (ap_bus_class_init, hw/s390x/ap-bridge.c).
  if (found.bus === 'ap-bus' && bus.children.length > 0) {
    throw new QmpFailure(`A '${found.bus}' bus was found but is full`);
  }
  const name = typeof id === 'string' ? id : undefined;
  if (name !== undefined && machine.find(name)) {
    throw new QmpFailure(`Duplicate device ID '${name}'`);
  }
  const properties = readProperties(found, given);
  const path = machine.takePath(name);
  const device = realize(machine, { type: found, id: name, path, bus, properties, hotplugged });
  bus.children.push({ index: bus.nextIndex++, device });
  machine.devices.push(device);
  machine.trace.add(`qemu:${machine.label}`, `${device.path} (${found.name}) on ${bus.name}`);
  return device;
}

const textOf = (value: JsonValue | undefined) => (typeof value === 'string' ? value : '');

function readProperties(found: DeviceType, given: JsonObject): Map<string, JsonValue> {
  const properties = new Map<string, JsonValue>();
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue;
    if (!found.properties.some((spec) => spec.name === name)) {
      throw new QmpFailure(`Property '${found.name}.${name}' not found`);
    }
    properties.set(name, value);
  }
  return properties;
}

type NewDevice = Pick<PciDevice, 'type' | 'id' | 'path' | 'bus' | 'properties' | 'hotplugged'>;

function realize(machine: Machine, wanted: NewDevice): PciDevice {
  const { type: found, bus, properties } = wanted;
  const onChannel = bus.typeName === 'virtual-css-bus';
  const device: PciDevice = {
    ...wanted,
    devfn: -1,
    properties: onChannel
      ? new Map([...properties, ['dev_id', chooseDevno(bus, found, properties.get('devno'))]])
      : properties,
    identity: {
      ...{ vendorId: 0, deviceId: 0, classCode: 0, classText: undefined, irqPin: 0 },
      subsystem: undefined,
    },
    regions: [],
    irq: 0,
    childBus: undefined,
    bridge: undefined,
    unplugLatchMs: undefined,
    handed: undefined,
    release: undefined,
  };
  if (!found.name.startsWith('vfio-')) return device;
  const sysfsdev = properties.get('sysfsdev');
  if (typeof sysfsdev !== 'string') throw new QmpFailure('No host device provided');
  if (!machine.backend.exists(sysfsdev)) {
    throw new QmpFailure(`Host device '${sysfsdev}' not found: No such file or directory`);
  }
  realizeVfio(machine, device);
  return device;
}

/** The number asked for, or the first free one of set 0, and then of the others. @throws {QmpFailure} */
function chooseDevno(bus: PciBus, found: DeviceType, asked: JsonValue | undefined): string {
  const taken = new Set(bus.children.map(({ device }) => device.properties.get('dev_id')));
  if (asked === undefined) {
    for (let ssid = 0; ssid < 4; ssid += 1) {
      for (let number = 0; number <= 0xffff; number += 1) {
        const devno = formatDevno({ ssid, number });
        if (!taken.has(devno)) return devno;
      }
    }
    throw new QmpFailure('Virtual channel subsystem is full!');
  }
  const text = textOf(asked);
  if (!isDevno(text)) {
    throw new QmpFailure(`Property '${found.name}.devno' doesn't take value '${text}'`);
  }
  const devno = formatDevno(parseDevno(text));
  if (taken.has(devno)) throw new QmpFailure(`Device ${devno} already exists`);
  return devno;
}

export interface MainframeObject {
  readonly type: string;
  readonly properties: readonly (readonly [
    name: string,
    type: string,
    value?: JsonValue | undefined,
  ])[];
}

/** What QOM has of a mainframe at a path; undefined for what any machine has. */
export function mainframeObject(machine: Machine, path: string): MainframeObject | undefined {
  const { major, minor } = machine.release;
  const sysbus = ['parent_bus', 'link<bus>', '/machine/unattached/sysbus'] as const;
  switch (path) {
    case '/machine':
      return { type: `s390-ccw-virtio-${major}.${minor}-machine`, properties: [] };
    case '/machine/virtual-css-bridge':
      return { type: 'virtual-css-bridge', properties: [sysbus] };
    case '/machine/s390-pcihost':
      return { type: 's390-pcihost', properties: [sysbus] };
    case '/machine/ap-bridge':
      return machine.buses.some((bus) => bus.path === AP_BUS)
        ? { type: 'ap-bridge', properties: [sysbus] }
        : undefined;
    case '/machine/s390-pcihost/s390-pcibus.0':
      return { type: 's390-pcibus', properties: [handler('/machine/s390-pcihost')] };
    default:
      return busOrDevice(machine, path);
  }
}

const handler = (path: string) => ['hotplug-handler', 'link<hotplug-handler>', path] as const;

function busOrDevice(machine: Machine, path: string): MainframeObject | undefined {
  const bus = machine.buses.find((candidate) => candidate.path === path);
  if (bus !== undefined) {
    const children = bus.children.map(
      ({ index, device }) => [`child[${index}]`, `link<${device.type.name}>`, device.path] as const,
    );
    const owner = path.slice(0, path.lastIndexOf('/'));
    return { type: bus.typeName, properties: [...children, handler(owner)] };
  }
  const device = machine.findByPath(path);
  if (device === undefined) return undefined;
  const { type: found, properties } = device;
  const own = found.properties.map(
    ({ name, type: kind }) => [name, kind, properties.get(name)] as const,
  );
  const devId = properties.get('dev_id');
  return {
    type: found.name,
    properties: [
      ['parent_bus', 'link<bus>', device.bus.path],
      ['realized', 'bool', true],
      ['hotplugged', 'bool', device.hotplugged],
      ...own,
      ...(devId === undefined ? [] : [['dev_id', 'str', devId] as const]),
    ],
  };
}
