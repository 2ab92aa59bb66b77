import { InputError } from '../errors.js';
import { profileOfArgument, unprovenFor, type MachineProfile } from '../vm/profiles/index.js';
import { planAddressSpace } from './address-space.js';
import { FIRMWARE_DECIDES } from './arguments.js';
import { countBuses } from './bus-count.js';
import { planCcwBridges } from './ccw-bridges.js';
import { checkRequest, type PortCounts } from './check-request.js';
import { checkBuses, layoutOn, type Layout, type PlannedPart } from './layout.js';
import { numaExpectation, planNodeBuses } from './numa.js';
import { ovmfWindowArgs } from './ovmf.js';
import { planPcBridges, planPciBridges, planPciePciBridges } from './pci-bridges.js';
import { planWindows } from './reserves.js';
import { planRootPorts } from './root-ports.js';
import { FUNCTIONS, Seats } from './seats.js';
import { planSwitchPorts, switchCount } from './switch-ports.js';
import type { BootPlan, BootRequest, PlannedWindow } from './types.js';
import { checkVirtSpace } from './virt-space.js';

/**
 * QEMU arguments for the ports of a VM that has not been started yet. Pure: the same request gives
 * the same plan.
 *
 * Ports are packed eight to a device of the root bus, or of a root bus for each NUMA node. Each has its
 * address, chassis and slot number written out, takes no I/O window, and has windows that surely hold the
 * BARs asked for, whatever the firmware's alignment.
 *
 * @throws {InputError} `BAD_ARGUMENT` for a value out of range, or a kind of port that the machine has not.
 * @throws {RefusedError} `UNSUPPORTED_MACHINE`.
 * @throws {NoFitError} `NO_WINDOW` where all windows together do not fit the guest's address space.
 */
export function planBoot(request: BootRequest): BootPlan {
  const profile = profileOfArgument(request.machine);
  const isConventional = profile.boot.rootBus === 'pci.0';
  const counts = checkRequest(request, profile);
  const { numaNodes = [] } = request;
  const rootBus = rootBusOf(request, counts, profile);
  const buses = countBuses(counts, !isConventional);
  checkBuses([
    { what: 'of root buses', buses: 1 + numaNodes.length },
    { what: 'behind root ports', buses: buses.rootPorts },
    { what: 'of switches', buses: buses.switches },
    { what: 'of PCI bridges', buses: buses.bridges },
  ]);
  const windows = planWindows(request);
  const mmio64Bytes = planSpace(request, profile, windows, counts);

  const nodes = numaNodes.map((node, share) => {
    const mine = countBuses(counts, !isConventional, share, numaNodes.length);
    return { node, buses: mine.rootPorts + mine.switches + mine.bridges };
  });
  const nodeBuses = planNodeBuses(nodes, rootBus);
  const layout = layoutOn(nodes.length === 0 ? [rootBus] : nodeBuses.seats);
  const parts = [
    planRootPorts(windows, layout),
    planSwitchPorts(counts.switchPorts, layout),
    planBridges(profile, counts.pciBridges, layout),
    planCcwBridges(counts.ccwBridges),
  ];
  return {
    args: [
      ...globalArgs(request, mmio64Bytes),
      ...nodeBuses.args,
      ...parts.flatMap(({ args }) => args),
    ],
    ports: parts.flatMap(({ ports }) => ports),
    expects: numaNodes.length === 0 ? [] : [numaExpectation(numaNodes)],
    experimental: unprovenFor(request.machine),
  };
}

function planBridges({ name, boot }: MachineProfile, count: number, layout: Layout): PlannedPart {
  if (boot.rootBus === 'pcie.0') return planPciePciBridges(count, layout);
  return name === 'pc' ? planPcBridges(count, layout) : planPciBridges(count, layout);
}

function globalArgs({ hotplug }: BootRequest, mmio64Bytes: bigint | undefined): readonly string[] {
  const args: string[] = [];
  if (hotplug !== undefined) {
    const value = hotplug === 'acpi' ? 'on' : 'off';
    args.push('-global', `ICH9-LPC.acpi-pci-hotplug-with-bridge-support=${value}`);
  }
  if (mmio64Bytes !== undefined) {
    args.push(...ovmfWindowArgs(mmio64Bytes));
  }
  return args;
}

/**
 * The machine's root bus from the first device that ports may use. On a PCI Express machine that is device 2,
 * or lower where they do not fit above it; conventional machines put their own devices there, so the bridges
 * go to the end.
 */
function rootBusOf(request: BootRequest, counts: PortCounts, profile: MachineProfile): Seats {
  const { rootBus: name, first: lowest, last: highest } = profile.boot;
  const { numaNodes = [], firstDevice } = request;
  const devices = devicesNeeded(counts, name, numaNodes.length);
  const last = highest - devices + 1;
  const usual = name === 'pci.0' ? last : Math.min(2, last);
  const first = firstDevice ?? usual;
  if (first <= last && first >= lowest) return new Seats({ name, first, last: highest });
  throw new InputError(
    'BAD_ARGUMENT',
    `${describe(counts)} need ${devices} devices of ${name}, but from ${Math.max(first, lowest)} to ` +
      `${highest} there are ${highest - Math.max(first, lowest) + 1}`,
    {
      remedy: last < lowest ? 'plan fewer ports' : `start at device ${last} or below`,
      details: { firstDevice: first, ...counts },
    },
  );
}

function devicesNeeded(counts: PortCounts, rootBus: string, nodes: number): number {
  if (nodes > 0) return nodes;
  const { rootPorts, switchPorts, pciBridges } = counts;
  if (rootBus === 'pci.0') return pciBridges;
  return Math.ceil((rootPorts + switchCount(switchPorts) + pciBridges) / FUNCTIONS);
}

function describe({ rootPorts, switchPorts, pciBridges }: PortCounts): string {
  const parts = [
    [rootPorts, 'root ports'],
    [switchPorts, 'switch ports'],
    [pciBridges, 'PCI bridges'],
  ] as const;
  return parts.flatMap(([count, what]) => (count === 0 ? [] : [`${count} ${what}`])).join(', ');
}

/**
 * Windows of all ports together; switches and bridges have what the firmware gives by default.
 *
 * @returns bytes of the 64-bit window to ask OVMF for.
 */
function planSpace(
  request: BootRequest,
  { name, boot }: MachineProfile,
  windows: readonly PlannedWindow[],
  { switchPorts, pciBridges }: PortCounts,
): bigint | undefined {
  if (name === 'q35') {
    const unhinted = Array.from({ length: switchPorts + pciBridges }, () => FIRMWARE_DECIDES);
    return planAddressSpace(request, [...windows, ...unhinted]).mmio64Bytes;
  }
  if (boot.rootBus === 'pcie.0') checkVirtSpace(request, windows);
  return undefined;
}
