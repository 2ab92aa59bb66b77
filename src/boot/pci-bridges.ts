import { deviceArgument, FIRMWARE_DECIDES, rootPortArgument } from './arguments.js';
import type { Layout, PlannedPart } from './layout.js';
import type { PlannedPort } from './types.js';

/** Slots 1-31; the standard hot-plug controller has no slot 0. */
const SLOTS = 31;
/** Chassis of bridges are counted from 2: 1 is that of the ports, and 0 is refused. */
const FIRST_CHASSIS = 2;

/**
 * A standard hot-plug controller makes SeaBIOS set I/O space aside: there is enough for 8 bridges only (1.16.2).
 * ACPI, which has the bridges of the start anyway, needs none. Without a controller the firmware opens no window
 * for an empty bridge unless it is told to.
 */
const FOR_SEABIOS = ['shpc=off', 'mem-reserve=16M'];

/** Bridges of a pc. */
export function planPcBridges(count: number, layout: Layout): PlannedPart {
  return planPciBridges(count, layout, FOR_SEABIOS);
}

/** Bridges of conventional PCI on a conventional root bus. */
export function planPciBridges(
  count: number,
  layout: Layout,
  extra: readonly string[] = [],
): PlannedPart {
  const ports = Array.from({ length: count }, (_, index): PlannedPort => {
    const { bus, addr } = layout.device(index, count);
    return {
      id: `pb${index}`,
      kind: 'pci-bridge',
      bus,
      chassis: FIRST_CHASSIS + index,
      slot: null,
      addr,
      window: FIRMWARE_DECIDES,
      capacity: SLOTS,
    };
  });
  const args = ports.flatMap(({ id, bus, addr, chassis }) =>
    deviceArgument([
      'pci-bridge',
      `id=${id}`,
      `bus=${bus}`,
      `addr=${addr}`,
      `chassis_nr=${chassis}`,
      ...extra,
    ]),
  );
  return { args, ports };
}

/** Bridges from PCI Express to conventional PCI, each behind a root port of its own. */
export function planPciePciBridges(count: number, layout: Layout): PlannedPart {
  const args: string[] = [];
  const ports = Array.from({ length: count }, (_, index): PlannedPort => {
    const rootPort = `pbrp${index}`;
    const seat = layout.seat(index, count);
    args.push(...rootPortArgument(rootPort, layout.slot(), seat, FIRMWARE_DECIDES));
    args.push(
      ...deviceArgument(['pcie-pci-bridge', `id=pb${index}`, `bus=${rootPort}`, 'addr=0x0']),
    );
    return {
      id: `pb${index}`,
      kind: 'pcie-pci-bridge',
      bus: rootPort,
      chassis: null,
      slot: null,
      addr: '0x0',
      window: FIRMWARE_DECIDES,
      capacity: SLOTS,
      ...(seat.numaNode === undefined ? {} : { numaNode: seat.numaNode }),
    };
  });
  return { args, ports };
}
