import type { JsonValue } from '../../json.js';
import type { Window } from '../../pci/bar.js';
import type { Machine } from './machine.js';
import {
  deviceAt,
  devicesOn,
  isFound,
  isPortBus,
  slotOf,
  type PciBus,
  type PciDevice,
  type Region,
} from './model.js';

/**
 * What firmware does to PCI: numbers the buses, gives each bridge its windows, places the BARs it
 * finds. Sizes follow the reserve hints; addresses are made up but disjoint and aligned.
 */

const MIB = 1n << 20n;
/** Least window of a port under SeaBIOS and OVMF alike. */
const UNIT = 2n * MIB;
const LOW_BASE = 0xc000_0000n;
const IO_BASE = 0xc000n;
/** Where 64-bit windows go. */
const HIGH_BASE = 0x38_0000_0000_00n;
/** SeaBIOS 1.16.2 with all RAM below 4 GiB starts right there. */
const UNPADDED_BASE = 0x1_0000_0000n;
const UNSET_RESERVE = (1n << 64n) - 1n;

interface Cursor {
  low: bigint;
  high: bigint;
  io: bigint;
}

export function runFirmware(machine: Machine): void {
  const unpadded = machine.config.firmware?.windowAlignment === '2M';
  const cursor = { low: LOW_BASE, high: unpadded ? UNPADDED_BASE : HIGH_BASE, io: IO_BASE };
  numberBuses(machine);
  for (const root of rootBuses(machine)) assignBus(machine, root, cursor);
}

function rootBuses(machine: Machine): readonly PciBus[] {
  const expanders = machine.devices
    .map(({ childBus }) => childBus)
    .filter((bus) => bus?.typeName === 'pxb-pcie-bus');
  return [machine.rootBus, ...expanders.filter((bus) => bus !== undefined)];
}

/** Depth first, in order of devfn. */
function numberBuses(machine: Machine): void {
  for (const root of rootBuses(machine)) {
    let last = Number(root.bridge?.properties.get('bus_nr') ?? 0);
    const walk = (bus: PciBus, number: number) => {
      for (const { bridge, childBus } of devicesOn(bus)) {
        if (!bridge || !childBus) continue;
        bridge.primary = number;
        bridge.secondary = ++last;
        walk(childBus, bridge.secondary);
        bridge.subordinate = last;
      }
    };
    walk(root, last);
  }
}

/**
 * Whether firmware finds the device, for which it needs power. SeaBIOS looks into every slot, those of a port
 * included that Linux passes over; it passes over a slot without function 0 as well (pci_next, SeaBIOS 1.16).
 */
function isVisible(device: PciDevice): boolean {
  const { bus, devfn } = device;
  if (isPortBus(bus)) return hasPower(bus) && deviceAt(bus, devfn & ~7) !== undefined;
  if (bus.hotplug === 'shpc' && device.hotplugged) {
    return bus.slots.get(slotOf(device))?.power === 'on';
  }
  return isFound(device);
}

/**
 * A port gives power to all that is behind it, and a reset takes it away where the first slot has no function 0.
 * Source: pcie_cap_slot_reset, hw/pci/pcie.c (7.2).
 */
function hasPower(port: PciBus): boolean {
  if (port.hotplug === 'native') return port.slots.get(0)?.power === 'on';
  return deviceAt(port, 0) !== undefined;
}

/** Takes room for every bridge on the bus, then for the devices themselves. */
function assignBus(machine: Machine, bus: PciBus, cursor: Cursor): void {
  for (const device of devicesOn(bus)) {
    if (device.bridge && device.childBus) assignBridge(machine, device, device.childBus, cursor);
    if (!isVisible(device)) continue;
    device.irq = device.identity.irqPin === 0 ? 0 : 10 + (slotOf(device) & 1);
    if (bus.bridge?.bridge) continue;
    for (const region of device.regions) {
      if (region.type !== 'memory' || region.bar === ROM_BAR) continue;
      cursor.low = alignUp(cursor.low, region.sizeBytes);
      region.address = cursor.low;
      cursor.low += region.sizeBytes;
    }
  }
}

const ROM_BAR = 6;

function assignBridge(machine: Machine, device: PciDevice, bus: PciBus, cursor: Cursor): void {
  const { bridge } = device;
  if (!bridge) return;
  const inside = devicesOn(bus);
  const visible = inside.filter(isVisible);
  const need = (select: (region: Region) => boolean) =>
    visible.flatMap(({ regions }) => regions.filter(select));
  // Bridges below take their windows first; ours is what they and the devices used.
  const hasBridges = inside.some(({ childBus }) => childBus !== undefined);
  const lowStart = alignUp(cursor.low, UNIT);
  const highStart = alignHigh(machine, cursor.high, device, hasBridges);
  cursor.low = lowStart;
  if (hasBridges) {
    cursor.high = highStart;
    assignBus(machine, bus, cursor);
  }
  const memoryBytes = packed(need((region) => region.type === 'memory' && !isHigh(region)));
  const reserve = reserveOf(device, 'mem-reserve') ?? 0n;
  const used = cursor.low - lowStart;
  cursor.low = lowStart + roundUnit(max(used + memoryBytes, reserve, UNIT));
  bridge.memory = { base: lowStart, limit: cursor.low - 1n };

  const highBytes = packed(need(isHigh));
  const wanted = max(highBytes, reserveOf(device, 'pref64-reserve') ?? 0n);
  if (wanted <= UNIT && !hasBridges) {
    bridge.prefetchable = { base: cursor.low, limit: cursor.low + UNIT - 1n };
    cursor.low += UNIT;
  } else {
    const below = hasBridges ? cursor.high - highStart : 0n;
    cursor.high = highStart + roundUnit(max(wanted, below, UNIT));
    bridge.prefetchable = { base: highStart, limit: cursor.high - 1n };
  }

  const ioBytes = packed(need(({ type }) => type === 'io'));
  bridge.io = { base: cursor.io, limit: cursor.io - 1n };
  if (ioBytes > 0n) {
    bridge.io = { base: cursor.io, limit: cursor.io + 0xfffn };
    cursor.io += 0x1000n;
  }
  for (const child of visible) placeBars(child);
}

function alignHigh(machine: Machine, at: bigint, device: PciDevice, whole: boolean): bigint {
  if (machine.config.firmware?.windowAlignment === '2M') return alignUp(at, UNIT);
  const wanted = max(
    reserveOf(device, 'pref64-reserve') ?? 0n,
    packed(
      devicesOn(device.childBus ?? device.bus).flatMap(({ regions }) => regions.filter(isHigh)),
    ),
    whole ? 1n << 30n : UNIT,
  );
  return alignUp(at, powerOfTwo(wanted));
}

const isHigh = ({ type, prefetch, is64bit }: Region) => type === 'memory' && prefetch && is64bit;

function reserveOf({ properties }: PciDevice, name: string): bigint | undefined {
  const value: JsonValue | undefined = properties.get(name);
  if (typeof value !== 'number' && typeof value !== 'bigint') return undefined;
  return BigInt(value) === UNSET_RESERVE ? undefined : BigInt(value);
}

/** Room for the BARs, largest first, from an address aligned to the largest. */
function packed(regions: readonly Region[]): bigint {
  return regions
    .filter(({ bar }) => bar !== ROM_BAR)
    .reduce((sum, { sizeBytes }) => sum + sizeBytes, 0n);
}

/**
 * Gives the BARs of a device behind a bridge addresses within the bridge's windows, largest first. A
 * BAR that does not fit stays where it was: nowhere.
 */
export function placeBars(device: PciDevice): void {
  const bridge = device.bus.bridge?.bridge;
  if (!bridge || bridge.secondary === 0) return;
  const largestFirst = [...device.regions].sort((a, b) => (a.sizeBytes < b.sizeBytes ? 1 : -1));
  for (const region of largestFirst) {
    if (region.bar === ROM_BAR || region.address !== undefined) continue;
    const window =
      region.type === 'io' ? bridge.io : isHigh(region) ? bridge.prefetchable : bridge.memory;
    region.address = findRoom(window, region, takenOn(device.bus, window));
  }
}

interface Span {
  readonly base: bigint;
  readonly limit: bigint;
}

/** What lies in the window already: BARs of the bus and windows of the bridges on it. */
function takenOn(bus: PciBus, { base, limit }: Window): readonly Span[] {
  const spans = devicesOn(bus).flatMap(({ regions, bridge }): Span[] => [
    ...regions.flatMap(({ address, sizeBytes }) =>
      address === undefined ? [] : [{ base: address, limit: address + sizeBytes - 1n }],
    ),
    ...(bridge ? [bridge.memory, bridge.prefetchable, bridge.io] : []),
  ]);
  return spans
    .filter((span) => span.base <= limit && span.limit >= base && span.base <= span.limit)
    .sort((a, b) => (a.base < b.base ? -1 : 1));
}

function findRoom(window: Window, region: Region, taken: readonly Span[]): bigint | undefined {
  let at = alignUp(window.base, region.sizeBytes);
  for (const span of taken) {
    if (at + region.sizeBytes - 1n < span.base) break;
    if (at <= span.limit) at = alignUp(span.limit + 1n, region.sizeBytes);
  }
  return at + region.sizeBytes - 1n <= window.limit ? at : undefined;
}

const max = (...values: readonly bigint[]) => values.reduce((a, b) => (a > b ? a : b), 0n);
const alignUp = (value: bigint, to: bigint) => ((value + to - 1n) / to) * to;
const roundUnit = (value: bigint) => alignUp(value, UNIT);

function powerOfTwo(value: bigint): bigint {
  let power = UNIT;
  while (power < value) power *= 2n;
  return power;
}
