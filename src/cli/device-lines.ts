import type { HostDevice, HostSnapshot } from '../index.js';
import type { Obstacle } from './obstacles.js';
import { className } from './pci-class.js';
import { renderTable } from './table.js';
import type { MissingNeed } from './vfio-needs.js';

/** A device with what stands between it and a VM. */
export interface DeviceLine {
  readonly device: HostDevice;
  readonly obstacles: readonly Obstacle[];
}

/** A device as `devices --json` prints it. */
export function describeDevice({ device, obstacles }: DeviceLine, { groups }: HostSnapshot) {
  const { driverOverride, iommuGroup } = device;
  return {
    bdf: device.bdf,
    vendorId: `0x${hex4(device.vendorId)}`,
    deviceId: `0x${hex4(device.deviceId)}`,
    subsystemVendorId: `0x${hex4(device.subsystemVendorId)}`,
    subsystemDeviceId: `0x${hex4(device.subsystemDeviceId)}`,
    classCode: `0x${device.classCode.toString(16).padStart(6, '0')}`,
    class: className(device.classCode),
    revision: device.revision,
    driver: device.driver,
    driverOverride: driverOverride.known ? driverOverride.value : undefined,
    iommuGroup,
    groupMembers: iommuGroup === undefined ? [] : groups.get(iommuGroup)?.members,
    numaNode: device.numaNode < 0 ? undefined : device.numaNode,
    bars: device.bars,
    resetMethods: device.resetMethods,
    bridge: device.bridge,
    bootVga: device.bootVga,
    physfn: device.physfn,
    vfCount: device.vfCount,
    vfTotal: device.vfTotal,
    vfioCdev: device.vfioCdev,
    children: device.children,
    uses: obstacles,
  };
}

/** The table for people: one line a device, below it what is in the way of handing it over. */
export function renderDevices(
  lines: readonly DeviceLine[],
  missing: readonly MissingNeed[],
): string {
  const table = renderTable(
    ['ADDRESS', 'GROUP', 'DRIVER', 'ID', 'CLASS', 'IN THE WAY OF A VM'],
    lines.map(({ device, obstacles }) => [
      device.bdf,
      device.iommuGroup === undefined ? '-' : String(device.iommuGroup),
      device.driver ?? '-',
      `${hex4(device.vendorId)}:${hex4(device.deviceId)}`,
      className(device.classCode),
      summarise(obstacles),
    ]),
  );
  const needs = missing.flatMap(({ evidence, remedy }) => [`  ${evidence}`, `    ${remedy}`]);
  return [
    ...(lines.length === 0 ? ['no PCI devices'] : table),
    ...(needs.length === 0 ? [] : ['', 'missing for VFIO:', ...needs]),
  ].join('\n');
}

/** `-`, or every finding; what only warns says so. */
function summarise(obstacles: readonly Obstacle[]): string {
  if (obstacles.length === 0) return '-';
  return obstacles
    .map(({ level, evidence }) => (level === 'warn' ? `(${evidence})` : evidence))
    .join('; ');
}

function hex4(value: number): string {
  return value.toString(16).padStart(4, '0');
}
