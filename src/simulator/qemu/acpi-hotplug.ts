import type { Machine } from './machine.js';
import { deviceAt, isPortBus, slotOf, type PciBus, type PciDevice } from './model.js';

/**
 * ACPI PCI hot-plug of q35 (hw/acpi/pcihp.c): two registers per numbered bus say which slots came
 * and which shall go; the guest ejects a slot by writing its bit.
 */

/**
 * Numbers every bus that takes hot-plug, once, at first reset: newest device first, each bridge
 * before what is behind it.
 */
export function assignBsels(machine: Machine): void {
  let next = 0;
  const walk = (bus: PciBus) => {
    if (takesBsel(bus)) bus.bsel = next++;
    for (const { device } of [...bus.children].reverse()) {
      if (device.childBus) walk(device.childBus);
    }
  };
  walk(machine.rootBus);
}

/** Ports below an expander get a number too, although they are served by native hot-plug. */
function takesBsel(bus: PciBus): boolean {
  return bus.bridge !== undefined && (bus.hotplug === 'acpi' || bus.hotplug === 'native');
}

/** Whether the bus hangs below an expander: its ports stay native whatever the machine does. */
export function isBelowExpander(bus: PciBus): boolean {
  for (let here: PciBus | undefined = bus; here; here = here.bridge?.bus) {
    if (here.typeName === 'pxb-pcie-bus') return true;
  }
  return false;
}

/** Whether `device_add` and `device_del` may name the bus at all. */
export function isHotpluggable({ release }: Machine, bus: PciBus): boolean {
  if (bus.hotplug === 'none') return false;
  return !(release.closedPortKeepsHandler && isClosed(bus));
}

/** Whether its port has `hotplug=off`. */
export function isClosed({ bridge }: PciBus): boolean {
  return bridge?.properties.get('hotplug') === false;
}

/** How a bus will hot-plug. ACPI takes even that of a switch's upstream port, of which Linux knows nothing. */
export function hotplugOf(bus: PciBus, mode: 'acpi' | 'native'): PciBus['hotplug'] {
  const { bridge } = bus;
  if (bus.typeName === 'virtual-css-bus' || bus.typeName === 'ap-bus') return 'at-once';
  if (bridge === undefined || bridge.type.kind === 'host-bridge') return 'none';
  if (mode === 'acpi' && !bridge.hotplugged && !isBelowExpander(bus)) {
    return isClosed(bus) ? 'none' : 'acpi';
  }
  if (isPortBus(bus)) return 'native';
  const shpc = bridge.type.name === 'pcie-pci-bridge' || bridge.properties.get('shpc') === true;
  return bridge.type.kind === 'pci-bridge' && shpc ? 'shpc' : 'none';
}

export function acpiPlug(machine: Machine, device: PciDevice): void {
  if (!device.hotplugged) return;
  device.bus.acpi.up.add(slotOf(device));
  machine.guest?.acpiEvent();
}

/** Slots of a bus. */
const SLOTS = Array.from({ length: 32 }, (_, slot) => slot);

/**
 * Firmware reads the tables, which QEMU writes anew for it after each reset: of a PCIe bus they describe the first
 * slot, and others only where a device is in them just then. Measured with Linux 6.1 in QEMU 7.2.22 and 10.0.13.
 * Source: is_devfn_ignored_hotplug and build_append_pcihp_slots, hw/i386/acpi-build.c (10.0).
 */
export function describeSlots({ buses, release }: Machine): void {
  for (const bus of buses) {
    const { acpi } = bus;
    acpi.described = new Set(SLOTS);
    acpi.dangling = new Set();
    if (bus.typeName !== 'PCIE') continue;
    const hasFirst = (slot: number) => deviceAt(bus, slot * 8) !== undefined;
    const gap = SLOTS.find((slot) => slot > 0 && !hasFirst(slot)) ?? SLOTS.length;
    const used = bus.children.map(({ device }) => slotOf(device));
    const told = used.filter((slot) => slot > 0 && (slot < gap || !release.tablesEndAtGap));
    acpi.described = new Set([0, ...told.filter(hasFirst)]);
    acpi.dangling = new Set(told.filter((slot) => !hasFirst(slot)));
  }
}

/** A slot that came, or shall go. */
export interface AcpiNotice {
  readonly kind: 'came' | 'goes';
  readonly bus: PciBus;
  readonly slot: number;
}

/**
 * What the guest learns from an event. It reads bus by bus, in the order of their numbers; what came it is shown
 * once, what shall go until it has gone. A slot that the tables mention without describing it ends the reading.
 * Source: build_append_notification_callback, hw/i386/acpi-build.c (10.0).
 */
export function* readAcpiEvent(machine: Machine): Generator<AcpiNotice> {
  for (const bus of numberedBuses(machine)) {
    const { up, down, described, dangling } = bus.acpi;
    const came = new Set(up);
    up.clear();
    for (const [kind, slots] of [
      ['came', came],
      ['goes', new Set(down)],
    ] as const) {
      for (const slot of SLOTS.filter((one) => slots.has(one))) {
        if (dangling.has(slot)) return;
        if (described.has(slot)) yield { kind, bus, slot };
      }
    }
  }
}

/** The latch is "now": a repeat is accepted at once, except at virtual time 0, where it never ends. */
export function acpiRequestUnplug(machine: Machine, device: PciDevice): void {
  device.unplugLatchMs = Math.floor(machine.virtual.now());
  device.bus.acpi.down.add(slotOf(device));
  machine.guest?.acpiEvent();
}

/** The guest's write to the eject register: every function of the slot goes, cold bridges stay. */
export function acpiEject(machine: Machine, bus: PciBus, slot: number): void {
  bus.acpi.down.delete(slot);
  bus.acpi.up.delete(slot);
  const going = bus.children
    .map(({ device }) => device)
    .filter((device) => slotOf(device) === slot && (!device.childBus || device.hotplugged))
    .reverse();
  if (going.length > 0) machine.unparent(going);
}

/** A reset completes every pending unplug, in order of bus number and slot; plugs stay to be read. */
export function acpiReset(machine: Machine): void {
  for (const bus of numberedBuses(machine)) {
    for (const slot of [...bus.acpi.down].sort((a, b) => a - b)) acpiEject(machine, bus, slot);
  }
}

/** Those that ACPI serves, in the order of their numbers. */
function numberedBuses({ buses }: Machine): readonly PciBus[] {
  return buses
    .filter(({ bsel, hotplug }) => bsel !== undefined && hotplug === 'acpi')
    .sort((a, b) => (a.bsel ?? 0) - (b.bsel ?? 0));
}
