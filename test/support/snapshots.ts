import type { HostDevice, HostSnapshot } from '../../src/host/types.js';
import { known, unknown } from '../../src/known.js';
import type { Bar } from '../../src/pci/bar.js';
import { compareBdf, toBdf, type Bdf } from '../../src/pci/pci-address.js';
import type { World } from '../../src/plan/world.js';
import type { Port, VmDevice, VmIdentity, VmSnapshot } from '../../src/vm/types.js';

const GIB = 1n << 30n;

export const QEMU: VmIdentity = {
  kind: 'process',
  bootId: 'boot-1',
  pid: 4242,
  startTime: '100',
  pidNamespace: 'pid:[1]',
};

/** A free root port with the windows SeaBIOS gives a large VM: 2 MiB and 32 GiB, well aligned. */
export function aPort(id: string, change: Partial<Port> = {}): Port {
  const device = 2 + Number(/\d+$/.exec(id)?.[0] ?? 0);
  return {
    id,
    kind: 'root-port',
    type: 'pcie-root-port',
    busPath: `/machine/peripheral/${id}/${id}`,
    busName: id,
    slot: 0,
    capacity: 1,
    mechanism: known('acpi'),
    chassis: 1,
    slotNumber: device,
    numaNode: undefined,
    rootBus: known(0),
    path: [{ device, function: 0 }],
    secondaryBus: known(device),
    memoryWindow: known({ base: 0xfe00_0000n, limit: 0xfe1f_ffffn }),
    prefetchableWindow: known({ base: 32n * GIB, limit: 64n * GIB - 1n }),
    memoryReserve: undefined,
    prefetchableReserve: undefined,
    occupants: [],
    ...change,
  };
}

export function aVmDevice(id: string, port: string, change: Partial<VmDevice> = {}): VmDevice {
  return {
    id,
    path: `/machine/peripheral/${id}`,
    type: 'pci-testdev',
    parentBus: `/machine/peripheral/${port}/${port}`,
    devfn: 0,
    host: undefined,
    sysfsdev: undefined,
    ...change,
  };
}

/** A q35 VM with these ports and devices; a port's occupants follow from the devices. */
export function aVm(
  ports: readonly Port[],
  devices: readonly VmDevice[] = [],
  change: Partial<VmSnapshot> = {},
): VmSnapshot {
  return {
    identity: QEMU,
    key: 'vm-1',
    qemu: { major: 7, minor: 2, micro: 22, package: '' },
    machineType: 'pc-q35-7.2-machine',
    arch: 'x86_64',
    status: 'running',
    ports: ports.map((port) => ({
      ...port,
      occupants: [
        ...port.occupants,
        ...devices.filter((each) => each.parentBus === port.busPath).map((each) => each.path),
      ],
    })),
    buses: new Map(),
    devices,
    objects: new Map(),
    ramBytes: known(4n * GIB),
    ...change,
  };
}

export function aBar(index: number, kind: Bar['kind'], sizeBytes: bigint): Bar {
  return { index, kind, sizeBytes };
}

/** A host function on its native driver, in a group of its own unless told otherwise. */
export function aHostDevice(bdf: string, change: Partial<HostDevice> = {}): HostDevice {
  return {
    bdf: toBdf(bdf),
    vendorId: 0x10de,
    deviceId: 0x2330,
    subsystemVendorId: 0x10de,
    subsystemDeviceId: 0x16c1,
    classCode: 0x030200,
    revision: 0xa1,
    driver: 'nouveau',
    driverOverride: known(undefined),
    numaNode: -1,
    iommuGroup: 17,
    bars: [aBar(0, 'mem32', 1n << 20n)],
    resetMethods: ['flr'],
    bridge: false,
    bootVga: false,
    physfn: undefined,
    vfCount: 0,
    vfTotal: 0,
    modalias: undefined,
    vfioCdev: undefined,
    children: {},
    ...change,
  };
}

export function aHost(
  devices: readonly HostDevice[],
  change: Partial<HostSnapshot> = {},
): HostSnapshot {
  const numbers = devices.flatMap((device) => device.iommuGroup ?? []);
  const membersOf = (group: number): Bdf[] =>
    devices
      .filter((device) => device.iommuGroup === group)
      .map((device) => device.bdf)
      .sort(compareBdf);
  return {
    bootId: 'boot-1',
    devices: new Map(devices.map((device) => [device.bdf, device])),
    groups: new Map(
      numbers.map((id) => [id, { id, members: membersOf(id), others: [] as string[] }]),
    ),
    uses: new Map(),
    holders: new Map(numbers.map((id) => [id, known([])])),
    ...change,
  };
}

export function aWorld(change: Partial<World> = {}): World {
  return {
    address: '/run/vm.sock',
    vm: aVm([aPort('rp0'), aPort('rp1'), aPort('rp2')]),
    host: undefined,
    attachments: [],
    leaving: new Set(),
    reservations: [],
    quarantine: [],
    planId: 'plan-1',
    ...change,
  };
}

export const UNREAD = unknown('it was not read');
