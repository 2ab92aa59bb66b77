import type { JsonValue } from '../../json.js';
import type { Window } from '../../pci/bar.js';
import type { DeviceType, RegionSpec } from './device-types.js';
import type { HandedFile } from './vfio-backend.js';

/** How devices on a bus are plugged and unplugged while the VM runs. */
export type BusHotplug = 'acpi' | 'native' | 'shpc' | 'at-once' | 'none';

/** A bus of PCI: of the machine, of an expander, or behind a bridge; or one that a mainframe has besides. */
export interface PciBus {
  readonly name: string;
  readonly path: string;
  readonly typeName: 'PCIE' | 'PCI' | 'pxb-pcie-bus' | 'virtual-css-bus' | 'ap-bus';
  /** The bridge it is behind; undefined for a root bus. */
  readonly bridge: PciDevice | undefined;
  /** In order of arrival; `index` is the N of the QOM link `child[N]`. */
  readonly children: { readonly index: number; readonly device: PciDevice }[];
  /** Every realize counts, failed ones too. */
  nextIndex: number;
  hotplug: BusHotplug;
  /** ACPI's number of the bus; undefined where ACPI does not know it. */
  bsel: number | undefined;
  readonly acpi: AcpiSlots;
  /** Registers of native and SHPC slots; a PCIe port has slot 0 only. */
  readonly slots: Map<number, SlotState>;
}

/** ACPI's view of the slots of a bus. */
export interface AcpiSlots {
  /** With a plug that the guest has not seen yet. */
  readonly up: Set<number>;
  /** With an unplug that the guest has not followed yet. */
  readonly down: Set<number>;
  /** Those in the tables that firmware read last; the guest is told of no others. */
  described: ReadonlySet<number>;
  /** Those that the tables mention without describing them, which ends the reading of an event. */
  dangling: ReadonlySet<number>;
}

/** What firmware and guest wrote into a bridge. */
export interface BridgeState {
  /** Number of the bus the bridge is on, as written. */
  primary: number;
  secondary: number;
  subordinate: number;
  memory: Window;
  prefetchable: Window;
  io: Window;
}

/** A slot as the registers of its port or bridge show it. */
export interface SlotState {
  power: 'on' | 'off';
  /** Blinking while the guest is busy switching the slot on or off. */
  indicator: 'on' | 'off' | 'blinking';
}

export interface Region extends RegionSpec {
  /** Undefined until firmware or guest has placed and enabled it. */
  address: bigint | undefined;
}

export interface PciIdentity {
  readonly vendorId: number;
  readonly deviceId: number;
  readonly classCode: number;
  readonly classText: string | undefined;
  readonly subsystem: readonly [vendor: number, device: number] | undefined;
  readonly irqPin: number;
}

/** A realized PCI device of the VM. */
export interface PciDevice {
  readonly type: DeviceType;
  readonly id: string | undefined;
  readonly path: string;
  readonly bus: PciBus;
  readonly devfn: number;
  readonly properties: ReadonlyMap<string, JsonValue>;
  readonly hotplugged: boolean;
  identity: PciIdentity;
  regions: readonly Region[];
  irq: number;
  /** The bus below, when the device is a bridge. */
  childBus: PciBus | undefined;
  bridge: BridgeState | undefined;
  /** Virtual time until which a repeated `device_del` is refused; 0 for ever. */
  unplugLatchMs: number | undefined;
  /** The node of the host's device, where QEMU was handed it open. */
  readonly handed: HandedFile | undefined;
  /** Gives back what the device holds outside QEMU; called right before DEVICE_DELETED. */
  release: (() => void) | undefined;
}

export const slotOf = (device: PciDevice) => device.devfn >> 3;
export const functionOf = (device: PciDevice) => device.devfn & 7;

export function deviceAt(bus: PciBus, devfn: number): PciDevice | undefined {
  return bus.children.find(({ device }) => device.devfn === devfn)?.device;
}

/**
 * Function 0 of the slot that a device at `devfn` belongs to; behind a PCIe port there is one slot
 * only. Source: pci_get_function_0, hw/pci/pci.c.
 */
export function functionZero(bus: PciBus, devfn: number): PciDevice | undefined {
  return deviceAt(bus, isPortBus(bus) ? 0 : devfn & ~7);
}

/**
 * Whether firmware or an operating system comes upon the device when it scans the bus: a slot without function 0
 * is passed over, and behind a PCIe port there is only slot 0. Source: pci_scan_slot, drivers/pci/probe.c (Linux 6.1).
 */
export function isFound({ bus, devfn }: PciDevice): boolean {
  return deviceAt(bus, devfn & ~7) !== undefined && (devfn < 8 || !isPortBus(bus));
}

/** In order of devfn, as QEMU walks a bus. */
export function devicesOn(bus: PciBus): readonly PciDevice[] {
  return bus.children.map(({ device }) => device).sort((a, b) => a.devfn - b.devfn);
}

/** Whether the bus is the link of a PCIe port, which has exactly one slot. */
export function isPortBus(bus: PciBus): boolean {
  const kind = bus.bridge?.type.kind;
  return kind === 'root-port' || kind === 'downstream-port';
}

/** A bridge before firmware: root ports have no I/O window to speak of, others start at zero. */
export function resetBridge(device: PciDevice): void {
  if (device.childBus === undefined || device.type.kind === 'host-bridge') return;
  const rootPort = device.type.kind === 'root-port';
  const closed = (base: bigint, limit: bigint): Window => ({ base: rootPort ? base : 0n, limit });
  device.bridge = {
    primary: 0,
    secondary: 0,
    subordinate: 0,
    memory: closed(0xfff0_0000n, 0xf_ffffn),
    prefetchable: closed(0xfff0_0000n, 0xf_ffffn),
    io: closed(0xf000n, 0xfffn),
  };
}

export function createBus(
  name: string,
  path: string,
  typeName: PciBus['typeName'],
  bridge: PciDevice | undefined,
): PciBus {
  return {
    name,
    path,
    typeName,
    bridge,
    children: [],
    nextIndex: 0,
    hotplug: 'none',
    bsel: undefined,
    acpi: { up: new Set(), down: new Set(), described: new Set(), dangling: new Set() },
    slots: new Map(),
  };
}
