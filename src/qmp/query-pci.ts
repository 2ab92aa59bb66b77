import type { Window } from '../pci/bar.js';
import { ReplyValue } from './guards.js';
import type { ExecuteOptions, QmpSession } from './session.js';

/** A host bridge's bus and everything below it, as the guest's configuration space has it now. */
export interface PciBusInfo {
  /** Number of the root bus; `pxb` buses are entries of their own, in no order. */
  readonly bus: number;
  readonly devices: readonly PciDeviceInfo[];
}

export interface PciDeviceInfo {
  readonly bus: number;
  /** PCI device number, 0-31. */
  readonly slot: number;
  readonly function: number;
  /** The qdev id; undefined for a device made without one. As QEMU sent it: not safe to print. */
  readonly qdevId: string | undefined;
  /** Base class and subclass, 16 bits: 0x0604 is a PCI bridge. */
  readonly classCode: number;
  readonly vendorId: number;
  readonly deviceId: number;
  readonly subsystemVendorId: number | undefined;
  readonly subsystemId: number | undefined;
  readonly regions: readonly PciRegionInfo[];
  /** Only for bridges and ports. */
  readonly bridge: PciBridgeInfo | undefined;
}

export interface PciRegionInfo {
  /** 0-5, or 6 for the expansion ROM. */
  readonly bar: number;
  readonly kind: 'io' | 'memory';
  readonly sizeBytes: bigint;
  /** Guest physical (or I/O) address; undefined while the guest has not placed the region. */
  readonly address: bigint | undefined;
  readonly prefetchable: boolean;
  readonly is64bit: boolean;
}

export interface PciBridgeInfo {
  readonly primaryBus: number;
  /** 0 until firmware or guest has numbered the buses. */
  readonly secondaryBus: number;
  readonly subordinateBus: number;
  /** As the registers read; a range with base > limit is closed, see `openWindow`. */
  readonly ioRange: Window;
  readonly memoryRange: Window;
  readonly prefetchableRange: Window;
  /**
   * Undefined where QEMU does not tell, which it does not before the bridge has a bus number:
   * then nothing is known, and an empty list is something else.
   */
  readonly devices: readonly PciDeviceInfo[] | undefined;
}

/** A machine has 256 buses, so a tree that goes deeper is not a genuine one. */
const MAX_BUS_DEPTH = 256;

/** The range, or undefined when it is closed: bridges close a window by base > limit. */
export function openWindow(range: Window): Window | undefined {
  return range.base <= range.limit ? range : undefined;
}

/** Reads the PCI tree. @throws {ProtocolError} for a reply that no PCI machine gives. */
export async function queryPci(
  session: QmpSession,
  options?: ExecuteOptions,
): Promise<readonly PciBusInfo[]> {
  const command = 'query-pci';
  return readPciTree(ReplyValue.of(command, await session.execute(command, undefined, options)));
}

/** @internal */
export function readPciTree(reply: ReplyValue): readonly PciBusInfo[] {
  return reply.items().map((entry) => ({
    bus: readBusNumber(entry.member('bus')),
    devices: readDevices(entry.member('devices'), MAX_BUS_DEPTH),
  }));
}

const readBusNumber = (value: ReplyValue) => value.integer(0, 0xff);

function readDevices(list: ReplyValue, depthLeft: number): readonly PciDeviceInfo[] {
  if (depthLeft === 0) throw list.refuse('less deep');
  return list.items().map((device) => readDevice(device, depthLeft - 1));
}

function readDevice(device: ReplyValue, depthLeft: number): PciDeviceInfo {
  const id = device.member('id');
  const qdevId = device.member('qdev_id').string();
  const bridge = device.optional('pci_bridge');
  const uint16 = (value: ReplyValue | undefined) => value?.integer(0, 0xffff);
  return {
    bus: readBusNumber(device.member('bus')),
    slot: device.member('slot').integer(0, 31),
    function: device.member('function').integer(0, 7),
    qdevId: qdevId === '' ? undefined : qdevId,
    classCode: device.member('class_info').member('class').integer(0, 0xffff),
    vendorId: id.member('vendor').integer(0, 0xffff),
    deviceId: id.member('device').integer(0, 0xffff),
    subsystemVendorId: uint16(id.optional('subsystem-vendor')),
    subsystemId: uint16(id.optional('subsystem')),
    regions: device.member('regions').items().map(readRegion),
    bridge: bridge ? readBridge(bridge, depthLeft) : undefined,
  };
}

function readRegion(region: ReplyValue): PciRegionInfo {
  const type = region.member('type');
  const kind = type.string();
  if (kind !== 'io' && kind !== 'memory') throw type.refuse('"io" or "memory"');
  const address = region.member('address');
  return {
    bar: region.member('bar').integer(0, 6),
    kind,
    sizeBytes: region.member('size').uint64(1n),
    // PCI_BAR_UNMAPPED is all ones (QEMU include/hw/pci/pci.h).
    address: address.raw === -1 ? undefined : address.uint64(),
    prefetchable: region.optional('prefetch')?.boolean() ?? false,
    is64bit: region.optional('mem_type_64')?.boolean() ?? false,
  };
}

function readBridge(bridge: ReplyValue, depthLeft: number): PciBridgeInfo {
  const bus = bridge.member('bus');
  const devices = bridge.optional('devices');
  return {
    primaryBus: readBusNumber(bus.member('number')),
    secondaryBus: readBusNumber(bus.member('secondary')),
    subordinateBus: readBusNumber(bus.member('subordinate')),
    ioRange: readRange(bus.member('io_range')),
    memoryRange: readWindow(bus.member('memory_range')),
    prefetchableRange: readWindow(bus.member('prefetchable_range')),
    devices: devices ? readDevices(devices, depthLeft) : undefined,
  };
}

function readRange(range: ReplyValue): Window {
  return { base: range.member('base').uint64(), limit: range.member('limit').uint64() };
}

/** OVMF closes a 64-bit window by a base at the very top (edk2-2022.11): 0xfffffffffff00000. */
function readWindow(range: ReplyValue): Window {
  return { base: range.member('base').address64(), limit: range.member('limit').address64() };
}
