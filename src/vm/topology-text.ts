import type { Known } from '../known.js';
import type { Window } from '../pci/bar.js';
import { formatSize } from '../pci/size.js';
import { escapeControl } from '../text.js';
import type { Topology, TopologyDevice, TopologyRoot } from './topology.js';
import type { Port } from './types.js';

/**
 * The tree as text, one device a line; safe to print whatever QEMU said.
 *
 *   pc-q35-7.2-machine (x86_64), QEMU 7.2.22, running
 *   bus 00 /machine/q35/pcie.0
 *   └─ 02.0 rp0 pcie-root-port: bus 01, acpi, slot 1/1, mem 0xfe800000 (2M), pref 0x100000000 (8G)
 *      └─ 00.0 gpu0 vfio-pci: 02/00, 0000:01:00.0, host 0000:3b:00.0
 */
export function renderTopology(topology: Topology): string {
  const { machineType, arch, qemu, status } = topology.snapshot;
  const version = `${qemu.major}.${qemu.minor}.${qemu.micro}`;
  return [
    escapeControl(`${machineType} (${arch}), QEMU ${version}, ${status}`),
    ...topology.roots.flatMap(renderRoot),
    ...(topology.elsewhere.length === 0
      ? []
      : ['not on PCI, or in a place that is not known', ...renderAll(topology.elsewhere, [])]),
    '',
  ].join('\n');
}

function renderRoot({ bus, devices }: TopologyRoot): readonly string[] {
  const number = bus.number.known ? hex2(bus.number.value) : '??';
  return [`bus ${number} ${escapeControl(bus.path)}`, ...renderAll(devices, [])];
}

function renderAll(
  devices: readonly TopologyDevice[],
  strangers: readonly string[],
): readonly string[] {
  const blocks = [
    ...devices.map((node) => [describe(node), ...renderAll(node.children, node.strangers)]),
    ...strangers.map((path) => [`${escapeControl(path)}: not added by a name or an option`]),
  ];
  return blocks.flatMap(([head = '', ...below], index) => {
    const isLast = index === blocks.length - 1;
    return [
      `${isLast ? '└─ ' : '├─ '}${head}`,
      ...below.map((line) => `${isLast ? '   ' : '│  '}${line}`),
    ];
  });
}

function describe(node: TopologyDevice): string {
  const { device, guestPath, guestBdf, ports } = node;
  const { devfn, id, path, type, host, sysfsdev } = device;
  const [port] = ports;
  const facts =
    port === undefined
      ? [guestPath, guestBdf, host === undefined ? sysfsdev : `host ${host}`]
      : [...describeBus(port), ...describePlanned(port), ...describeUse(ports)];
  const head = [devfn === undefined ? undefined : formatDevfn(devfn), id ?? path, type];
  const text = `${join(head, ' ')}: ${join(facts, ', ')}`;
  return escapeControl(text.replace(/: $/, ''));
}

function describeBus(port: Port): readonly string[] {
  const { secondaryBus, mechanism, memoryWindow, prefetchableWindow } = port;
  const how = mechanism.known ? mechanism.value : `hot-plug unknown (${mechanism.reason})`;
  const hotplug = how === 'none' ? 'no hot-plug' : how;
  if (!secondaryBus.known) return [`bus unknown (${secondaryBus.reason})`, hotplug];
  return [
    `bus ${hex2(secondaryBus.value)}`,
    hotplug,
    `mem ${describeWindow(memoryWindow)}`,
    `pref ${describeWindow(prefetchableWindow)}`,
  ];
}

function describePlanned(port: Port): readonly string[] {
  const { chassis, slotNumber, numaNode, memoryReserve, prefetchableReserve } = port;
  const reserves = port.secondaryBus.known
    ? []
    : [
        memoryReserve === undefined ? undefined : `mem-reserve ${formatSize(memoryReserve)}`,
        prefetchableReserve === undefined
          ? undefined
          : `pref64-reserve ${formatSize(prefetchableReserve)}`,
      ];
  return [
    chassis === undefined || slotNumber === undefined ? undefined : `slot ${chassis}/${slotNumber}`,
    numaNode === undefined ? undefined : `node ${numaNode}`,
    ...reserves,
  ].filter((fact) => fact !== undefined);
}

function describeUse(ports: readonly Port[]): readonly string[] {
  const free = ports.filter(({ occupants }) => occupants.length === 0).length;
  if (ports.length > 1) return [`${free} of ${ports.length} slots free`];
  return free > 0 ? ['free'] : [];
}

function describeWindow(window: Known<Window | undefined>): string {
  if (!window.known) return `unknown (${window.reason})`;
  if (window.value === undefined) return 'closed';
  const { base, limit } = window.value;
  return `0x${base.toString(16)} (${formatSize(limit - base + 1n)})`;
}

function formatDevfn(devfn: number): string {
  return `${hex2(devfn >> 3)}.${devfn & 7}`;
}

function hex2(value: number): string {
  return value.toString(16).padStart(2, '0');
}

function join(parts: readonly (string | undefined)[], separator: string): string {
  return parts.filter((part) => part !== undefined).join(separator);
}
