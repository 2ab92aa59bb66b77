import type { JsonObject, JsonValue } from '../../json.js';
import { deviceType, FOREIGN_TYPES, type DeviceType, type RegionSpec } from './device-types.js';
import { deviceNotFound, QmpFailure } from './failure.js';
import { hotplugOf, isHotpluggable } from './acpi-hotplug.js';
import { checkPlug, plug, prePlug } from './hotplug.js';
import type { Machine } from './machine.js';
import { addMainframeDevice } from './mainframe.js';
import { isMainframe } from './mainframe-buses.js';
import {
  createBus,
  deviceAt,
  devicesOn,
  functionOf,
  functionZero,
  resetBridge,
  slotOf,
  type PciBus,
  type PciDevice,
} from './model.js';
import { NamedFiles } from './named-files.js';
import { parseProperty } from './properties.js';
import type { HandedFile } from './vfio-backend.js';
import { realizeVfio } from './vfio-device.js';

const IDENTIFIER = /^[A-Za-z][A-Za-z0-9\-._]*$/;
const SLOTS = 32;

/**
 * `device_add`, and `-device` when `hotplugged` is false, with QEMU's checks in QEMU's order.
 * Source: qmp_device_add and qdev_device_add_from_qdict (softmmu/qdev-monitor.c, 7.2),
 * do_pci_register_device (hw/pci/pci.c).
 *
 * @throws {QmpFailure}
 */
export function addDevice(
  machine: Machine,
  args: JsonObject,
  hotplugged = true,
  files = new NamedFiles(),
): PciDevice {
  const { release, config } = machine;
  if (isMainframe(config)) return addMainframeDevice(machine, args, hotplugged);
  const strict = release.strictTypes && hotplugged;
  const { driver, bus: busArgument, id: idArgument, ...rest } = strict ? args : scalarsOf(args);
  // What is no text is no id to QEMU, and no error either.
  const id = typeof idArgument === 'string' ? idArgument : undefined;
  if (id !== undefined && release.checksDeviceId && !IDENTIFIER.test(id)) {
    throw new QmpFailure("Parameter 'id' expects an identifier");
  }
  const name = nameIn(driver, strict);
  if (name === undefined) throw new QmpFailure("Parameter 'driver' is missing");
  const type = deviceType(name, machine.releaseName);
  const foreignBus = FOREIGN_TYPES.get(name);
  if (type === undefined && foreignBus === undefined) {
    throw new QmpFailure(`'${name}' is not a valid device model name`);
  }
  const coldOnly = hotplugged && type?.hotpluggable === false;
  if (coldOnly && !release.strictTypes) {
    throw new QmpFailure("Parameter 'driver' expects a pluggable device type");
  }
  const bus = findBus(machine, name, nameIn(busArgument, strict), foreignBus);
  if (coldOnly) throw new QmpFailure(`Device '${name}' does not support hotplugging`);
  if (type === undefined) {
    throw new QmpFailure(`Device '${name}' can't go on ${bus.typeName} bus`);
  }
  if (hotplugged && !isHotpluggable(machine, bus)) {
    throw new QmpFailure(`Bus '${bus.name}' does not support hotplugging`);
  }
  if (id !== undefined && machine.find(id)) throw new QmpFailure(`Duplicate device ID '${id}'`);
  const path = machine.takePath(id);
  const properties = readProperties(machine, type, rest, hotplugged);
  // Taken up along with the properties, before the place is looked at.
  const fd = properties.get('fd');
  const handed = typeof fd === 'string' && name === 'vfio-pci' ? files.take(fd) : undefined;
  return realize(machine, { type, id, path, bus, properties, hotplugged, handed });
}

/** QemuOpts, through which arguments went before 9.2, has no place for anything else. */
function scalarsOf(args: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(args).filter(([, value]) => typeof value !== 'object'));
}

/** A driver's or a bus's name; QEMU 9.2 and later see a name only in a text. */
function nameIn(value: JsonValue | undefined, strict: boolean): string | undefined {
  if (value === undefined || (strict && typeof value !== 'string')) return undefined;
  return scalarText(value);
}

function scalarText(value: JsonValue): string {
  return typeof value === 'object' ? '' : String(value);
}

function findBus(
  machine: Machine,
  driver: string,
  given: string | undefined,
  foreignBus: string | undefined,
): PciBus {
  if (given === undefined) {
    if (foreignBus !== undefined) {
      throw new QmpFailure(`No '${foreignBus}' bus found for device '${driver}'`);
    }
    // The newest root bus, which is an expander's where there is one.
    return machine.buses.findLast((bus) => bus.typeName === 'pxb-pcie-bus') ?? machine.rootBus;
  }
  // A path of buses, not of QOM: its first element names no bus of ours.
  if (given.startsWith('/')) throw deviceNotFound(given.split('/')[1] ?? '');
  const bus = machine.buses.find((candidate) => candidate.name === given);
  // The one inner bus that has its device's id for a name.
  const inner = machine.devices.find(({ id, type }) => id === given && type.innerBus)?.type;
  if (bus === undefined && inner?.innerBus !== undefined) {
    throw new QmpFailure(`Device '${driver}' can't go on ${inner.innerBus} bus`);
  }
  if (bus === undefined) throw new QmpFailure(`Bus '${given}' not found`);
  return bus;
}

function readProperties(
  machine: Machine,
  type: DeviceType,
  given: JsonObject,
  hotplugged: boolean,
): ReadonlyMap<string, JsonValue> {
  // On the command line every value is text, whatever the release.
  const rules = { strictTypes: machine.release.strictTypes && hotplugged };
  const properties = new Map<string, JsonValue>(Object.entries(type.initialValues ?? {}));
  for (const { name, defaultValue } of type.properties) {
    if (defaultValue !== undefined) properties.set(name, defaultValue);
  }
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue;
    const spec = type.properties.find((candidate) => candidate.name === name);
    if (spec === undefined) throw new QmpFailure(`Property '${type.name}.${name}' not found`);
    properties.set(name, parseProperty(type.name, spec, value, rules));
    if (name === 'iommufd' && !machine.objects.has(scalarText(value))) {
      throw deviceNotFound(scalarText(value));
    }
    if (name === 'host') checkHost(scalarText(value));
  }
  return properties;
}

function checkHost(text: string): void {
  if (/^(?:[0-9a-f]{1,4}:)?[0-9a-f]{1,2}:[0-9a-f]{1,2}\.[0-7]$/i.test(text)) return;
  throw new QmpFailure(`Property 'vfio-pci.host' doesn't take value '${text}'`);
}

interface NewDevice {
  readonly type: DeviceType;
  readonly id: string | undefined;
  readonly path: string;
  readonly bus: PciBus;
  readonly properties: ReadonlyMap<string, JsonValue>;
  readonly hotplugged: boolean;
  readonly handed: HandedFile | undefined;
}

/** Left to itself it is one anywhere but in a port (virtio_pci_realize, hw/virtio/virtio-pci.c, 7.2 to 10.0). */
function isTransitional({ bus, properties }: NewDevice): boolean {
  const without = properties.get('disable-legacy');
  if (without === 'on' || without === 'off') return without === 'off';
  return bus.typeName !== 'PCIE' || bus.bridge === undefined;
}

function realize(machine: Machine, wanted: NewDevice): PciDevice {
  const { type, bus, properties, hotplugged } = wanted;
  const index = bus.nextIndex++;
  const asked = Number(properties.get('addr') ?? -1);
  if (hotplugged) prePlug(bus);
  const devfn = choosePlace(machine, wanted, asked);
  const legacy = isTransitional(wanted) ? type.transitional : undefined;
  const regions = [
    ...(legacy === undefined ? [] : [legacy.region]),
    ...type.regions(properties),
    ...ownRom(wanted),
  ];
  const device: PciDevice = {
    ...wanted,
    devfn,
    properties: new Map([...properties, ['addr', devfn]]),
    identity: {
      vendorId: type.vendorId,
      deviceId: legacy?.deviceId ?? type.deviceId,
      classCode: type.classCode,
      classText: type.classText,
      subsystem: legacy?.subsystem ?? type.subsystem,
      irqPin: type.irqPin,
    },
    regions: regions.map((region) => ({ ...region, address: undefined })),
    irq: 0,
    childBus: undefined,
    bridge: undefined,
    unplugLatchMs: undefined,
    release: undefined,
  };
  checkFunctions(device);
  realizeType(machine, device);
  if (hotplugged) checkOptionRom(device);
  if (hotplugged) finishPlug(machine, device);
  bus.children.push({ index, device });
  machine.devices.push(device);
  if (device.childBus && hotplugged) {
    // A bridge that comes late is unknown to ACPI and is served by its own registers.
    device.childBus.hotplug = hotplugOf(device.childBus, 'native');
  }
  machine.trace.add(`qemu:${machine.label}`, `${device.path} (${type.name}) on ${bus.name}`);
  plug(machine, device);
  return device;
}

/** `romfile` without a name takes it away, `rombar` 0 its BAR (pci_add_option_rom, hw/pci/pci.c, 7.2). */
function ownRom({ type: { optionRom }, properties }: NewDevice): readonly RegionSpec[] {
  const isTaken = properties.get('romfile') !== undefined || properties.get('rombar') === 0;
  return optionRom === undefined || isTaken ? [] : [optionRom];
}

/** Source: pci_add_option_rom, hw/pci/pci.c. @throws {QmpFailure} */
function checkOptionRom({ type, properties }: PciDevice): void {
  const romfile = properties.get('romfile');
  const hasRom = romfile === undefined ? type.optionRom !== undefined : romfile !== '';
  if (hasRom && properties.get('rombar') === 0) {
    throw new QmpFailure("Hot-plugged device without ROM bar can't have an option ROM");
  }
}

/** A controller that refuses now has the device taken apart again, which its inner object announces. */
function finishPlug(machine: Machine, device: PciDevice): void {
  try {
    checkPlug(device);
  } catch (error) {
    machine.discard(device);
    throw error;
  }
}

/** Takes the address asked for or, without one, the first free slot. @throws {QmpFailure} */
function choosePlace(
  machine: Machine,
  { type, bus, hotplugged }: NewDevice,
  asked: number,
): number {
  if (bus.typeName === 'pxb-pcie-bus' && !makesBus(type)) {
    throw new QmpFailure(`PCI: Only PCI/PCIe bridges can be plugged into ${bus.name}`);
  }
  const taken = (devfn: number) => deviceAt(bus, devfn) !== undefined;
  let devfn = asked;
  if (asked < 0) {
    const slot = Array.from({ length: SLOTS }, (_, number) => number).find(
      (number) => !taken(number * 8),
    );
    if (slot === undefined) {
      throw new QmpFailure(
        `PCI: no slot/function available for ${type.name}, all in use or reserved`,
      );
    }
    devfn = slot * 8;
    if (machine.release.strayDeviceInSlot1) return devfn;
  } else if (taken(asked)) {
    const holder = deviceAt(bus, asked);
    throw new QmpFailure(
      `PCI: slot ${asked >> 3} function ${asked & 7} not available for ${type.name}, ` +
        `in use by ${holder?.type.name ?? ''},id=${holder?.id ?? '(null)'}`,
    );
  }
  const first = functionZero(bus, devfn);
  if (hotplugged && first) {
    throw new QmpFailure(
      `PCI: slot ${slotOf(first)} function 0 already occupied by ${first.type.name}, ` +
        `new func ${type.name} cannot be exposed to guest.`,
    );
  }
  return devfn;
}

/** Source: pci_init_multifunction, hw/pci/pci.c. */
function checkFunctions(device: PciDevice): void {
  const { bus, devfn, properties } = device;
  const hex = (value: number) => value.toString(16);
  const slot = slotOf(device);
  const fn = functionOf(device);
  const multifunction = properties.get('multifunction') === true;
  if (fn !== 0) {
    const first = deviceAt(bus, slot * 8);
    if (first && first.properties.get('multifunction') !== true) {
      throw new QmpFailure(
        `PCI: single function device can't be populated in function ${hex(slot)}.${hex(fn)}`,
      );
    }
    return;
  }
  if (multifunction) return;
  const other = devicesOn(bus).find(
    (sibling) => sibling.devfn >> 3 === slot && sibling.devfn !== devfn,
  );
  if (other === undefined) return;
  throw new QmpFailure(
    `PCI: ${hex(slot)}.0 indicates single function, ` +
      `but ${hex(slot)}.${hex(functionOf(other))} is already populated.`,
  );
}

const makesBus = ({ kind }: DeviceType) => kind !== 'endpoint' && kind !== 'host-bridge';

/** What the type itself does when it is realized. @throws {QmpFailure} */
function realizeType(machine: Machine, device: PciDevice): void {
  const { type, properties } = device;
  if (type.name.startsWith('vfio-pci')) return realizeVfio(machine, device);
  if (type.name === 'nvme' && properties.get('serial') === undefined) {
    throw new QmpFailure('serial property not set');
  }
  if (type.kind === 'root-port' || type.kind === 'downstream-port') checkChassis(machine, device);
  if (type.kind === 'host-bridge') {
    const name = device.id ?? type.name;
    // After the AHCI and the SMBus controller with its eight EEPROMs.
    const path = `/machine/unattached/device[${machine.release.ahciIndex + 10}]/${name}`;
    device.childBus = createBus(name, path, 'pxb-pcie-bus', device);
  } else if (makesBus(type)) {
    const name = device.id ?? `${type.name}.0`;
    const typeName = type.kind === 'pci-bridge' ? 'PCI' : 'PCIE';
    device.childBus = createBus(name, `${device.path}/${name}`, typeName, device);
    resetBridge(device);
  }
}

function checkChassis(machine: Machine, device: PciDevice): void {
  const key = ({ properties }: PciDevice) =>
    `${Number(properties.get('chassis') ?? 0)}/${Number(properties.get('slot') ?? 0) & 0xff}`;
  const clash = machine.devices.some(
    (other) =>
      (other.type.kind === 'root-port' || other.type.kind === 'downstream-port') &&
      key(other) === key(device),
  );
  if (clash) throw new QmpFailure("Can't add chassis slot, error -16");
}
