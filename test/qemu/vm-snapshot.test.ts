import { describe, expect, it } from 'vitest';
import { planBoot } from '../../src/boot/index.js';
import { connectQmp } from '../../src/qmp/connect.js';
import type { QmpSession } from '../../src/qmp/session.js';
import {
  guestAddressOf,
  readVmSnapshot,
  renderTopology,
  snapshotHash,
  topologyOf,
  type Port,
  type VmIdentity,
  type VmSnapshot,
} from '../../src/vm/index.js';
import { startQemu, type Qemu, type QemuOptions } from '../support/qemu.js';
import { waitForNumberedBuses } from './numbered-buses.js';

const device = (...properties: readonly string[]) => ['-device', properties.join(',')];
const port = (id: string, fn: number, ...more: readonly string[]) =>
  device(
    `pcie-root-port,id=${id},bus=pcie.0,addr=2.${fn},chassis=1,slot=${fn}`,
    ...(fn === 0 ? ['multifunction=on'] : []),
    ...more,
  );

/** Everything that somebody else may have booted, in one machine. */
const MOTLEY = [
  ...['-object', 'memory-backend-ram,id=ram0,size=128M', '-numa', 'node,nodeid=0,memdev=ram0'],
  ...port('rp0', 0, 'pref64-reserve=4G,mem-reserve=32M'),
  ...port('off', 1, 'hotplug=off'),
  ...port('rp2', 2),
  ...device('virtio-rng-pci,bus=rp2,addr=0x0'),
  ...port('rp3', 3),
  ...device('pcie-pci-bridge,id=conv,bus=rp3,addr=0x0'),
  ...device('pci-testdev,id=below,bus=conv,addr=0x5'),
  ...port('rp4', 4),
  ...device('x3130-upstream,id=up,bus=rp4,addr=0x0'),
  ...device('xio3130-downstream,id=dn,bus=up,addr=0x3,chassis=9,slot=7'),
  ...device('pci-testdev,id=deep,bus=dn,addr=0x0'),
  ...device('ioh3420,id=old,bus=pcie.0,addr=3.0,chassis=2,slot=1'),
  ...device('pcie-root-port,bus=pcie.0,addr=4.0,chassis=2,slot=2'),
  ...device('pxb-pcie,id=far,bus=pcie.0,addr=5.0,bus_nr=128,numa_node=0'),
  ...device('pcie-root-port,id=rpx,bus=far,addr=0.0,chassis=3,slot=1'),
  ...device('virtio-scsi-pci,id=scsi,bus=pcie.0,addr=6.0'),
  ...device('scsi-cd,id=cd,bus=scsi.0'),
];

const IDENTITY: VmIdentity = {
  kind: 'process',
  bootId: 'b',
  pid: 1,
  startTime: '2',
  pidNamespace: undefined,
};

function counting(session: QmpSession) {
  let count = 0;
  const counted: QmpSession = {
    ...session,
    address: session.address,
    version: session.version,
    execute: (...args) => {
      count += 1;
      return session.execute(...args);
    },
  };
  return { session: counted, count: () => count };
}

async function withSnapshot(
  options: QemuOptions,
  check: (snapshot: VmSnapshot, qemu: Qemu, session: QmpSession) => Promise<void> | void,
): Promise<void> {
  await using qemu = await startQemu(options);
  await using session = await connectQmp(`unix:${qemu.qmpPath}`);
  await check(await readVmSnapshot(session, IDENTITY), qemu, session);
}

function portOf(snapshot: VmSnapshot, id: string): Port {
  const found = snapshot.ports.find((candidate) => candidate.id === id);
  if (found === undefined) throw new Error(`no port ${id}`);
  return found;
}

const mechanisms = (snapshot: VmSnapshot) =>
  Object.fromEntries(snapshot.ports.map(({ id, mechanism }) => [id, mechanism]));
const is = (value: string) => ({ known: true, value });

describe('a machine that somebody else booted', () => {
  it('is adopted before its firmware has run', async () => {
    await withSnapshot({ args: MOTLEY, paused: true }, (vm) => {
      expect(vm).toMatchObject({ arch: 'x86_64', status: 'prelaunch' });
      expect(vm.machineType).toMatch(/^pc-q35-.*-machine$/);
      expect(vm.ramBytes).toEqual({ known: true, value: 128n << 20n });
      expect(vm.objects).toEqual(new Map([['ram0', 'memory-backend-ram']]));
      const slots = Array.from({ length: 31 }, (_, index) => `conv.${index + 1}`);
      expect(vm.ports.map(({ id }) => id)).toEqual([
        'rp0',
        'off',
        'rp2',
        'rp3',
        ...slots,
        'rp4',
        'dn',
        'old',
        'rpx',
      ]);
      const used = vm.ports.filter(({ occupants }) =>
        occupants.includes('/machine/peripheral/below'),
      );
      expect(used.map(({ id }) => id)).toEqual(['conv.5']);
      expect(mechanisms(vm)).toMatchObject({
        'conv.1': is('acpi'),
        rp0: is('acpi'),
        off: is('none'),
        rp2: is('acpi'),
        rp3: is('acpi'),
        rp4: is('acpi'),
        dn: is('acpi'),
        old: is('acpi'),
        rpx: is('native'),
      });
      expect(portOf(vm, 'rp0')).toMatchObject({
        kind: 'root-port',
        busName: 'rp0',
        busPath: '/machine/peripheral/rp0/rp0',
        slot: 0,
        chassis: 1,
        slotNumber: 0,
        rootBus: { known: true, value: 0 },
        path: [{ device: 2, function: 0 }],
        memoryReserve: 32n << 20n,
        prefetchableReserve: 4n << 30n,
        numaNode: undefined,
        secondaryBus: { known: false },
        memoryWindow: { known: false },
        prefetchableWindow: { known: false },
        occupants: [],
      });
      expect(portOf(vm, 'rp2')).toMatchObject({
        memoryReserve: undefined,
        prefetchableReserve: undefined,
        occupants: ['/machine/peripheral-anon/device[0]'],
      });
      expect(portOf(vm, 'dn')).toMatchObject({
        kind: 'downstream-port',
        chassis: 9,
        slotNumber: 7,
        path: [
          { device: 2, function: 4 },
          { device: 0, function: 0 },
          { device: 3, function: 0 },
        ],
        occupants: ['/machine/peripheral/deep'],
      });
      expect(portOf(vm, 'rpx')).toMatchObject({
        rootBus: { known: true, value: 128 },
        numaNode: 0,
        path: [{ device: 0, function: 0 }],
      });
      const anonymous = vm.devices.filter(({ id }) => id === undefined);
      expect(anonymous.map(({ type }) => type)).toEqual(['virtio-rng-pci', 'pcie-root-port']);
    });
  });

  it('has bus numbers, windows and guest addresses once the firmware has run', async () => {
    await withSnapshot({ args: MOTLEY }, async (_, qemu, qmp) => {
      const ids = ['rp0', 'rp2', 'rp3', 'rp4', 'dn', 'old', 'rpx'];
      const bridges = await waitForNumberedBuses(qemu, ids);
      const vm = await readVmSnapshot(qmp, IDENTITY);
      for (const id of ids) {
        const bridge = bridges.get(id);
        expect(portOf(vm, id)).toMatchObject({
          secondaryBus: { known: true, value: bridge?.secondaryBus },
          memoryWindow: { known: true, value: bridge?.memoryRange },
          prefetchableWindow: { known: true, value: bridge?.prefetchableRange },
        });
      }
      expect(portOf(vm, 'rpx').secondaryBus).toEqual({ known: true, value: 129 });
      const deep = vm.devices.find(({ id }) => id === 'deep');
      const bus = bridges.get('dn')?.secondaryBus ?? 0;
      expect(deep && guestAddressOf(vm, deep)).toEqual({
        path: [
          { device: 2, function: 4 },
          { device: 0, function: 0 },
          { device: 3, function: 0 },
          { device: 0, function: 0 },
        ],
        text: '02.4/00/03/00',
        bdf: `0000:${bus.toString(16).padStart(2, '0')}:00.0`,
      });
      const text = renderTopology(topologyOf(vm));
      expect(text).toContain('bus 00 /machine/q35/pcie.0');
      expect(text).toMatch(/bus 80 \/machine\/unattached\/device\[\d+\]\/far/);
      expect(text).toMatch(/└─ 05\.0 below pci-testdev: 02\.3\/00\/05, 0000:/);
      expect(text).toMatch(/└─ cd scsi-cd\n/);
    });
  });
});

describe('native hot-plug', () => {
  it('is told from a port that only looks as if it took devices', async () => {
    const args = [...port('rp0', 0), ...port('off', 1, 'hotplug=off')];
    await withSnapshot({ args, hotplug: 'native', paused: true }, async (vm, qemu) => {
      expect(mechanisms(vm)).toEqual({ rp0: is('native'), off: is('none') });
      const add = { driver: 'pci-testdev', id: 'd0', addr: '0x0' };
      await expect(qemu.qmp.execute('device_add', { ...add, bus: 'off' })).rejects.toThrow();
      await qemu.qmp.execute('device_add', { ...add, bus: 'rp0' });
    });
  });
});

it('finds no hot-plug by ACPI in a machine without ACPI', async () => {
  const args = port('rp0', 0);
  await withSnapshot({ args, machine: 'q35,acpi=off', paused: true }, (vm) => {
    expect(mechanisms(vm)).toEqual({ rp0: is('none') });
  });
});

it.each([
  ['microvm', /no PCI bus unless/],
  ['isapc', /no PCI bus/],
])('refuses a %s by name', async (machine, reason) => {
  await using qemu = await startQemu({ machine, paused: true });
  await using session = await connectQmp(`unix:${qemu.qmpPath}`);
  const refused = readVmSnapshot(session, IDENTITY);
  await expect(refused).rejects.toThrow(reason);
  await expect(refused).rejects.toMatchObject({ code: 'UNSUPPORTED_MACHINE' });
});

it('has a hash that changes with what is plugged, and comes back', async () => {
  await withSnapshot(
    { args: port('rp0', 0), hotplug: 'native', paused: true },
    async (vm, qemu, qmp) => {
      const hash = snapshotHash(vm);
      expect(snapshotHash(await readVmSnapshot(qmp, IDENTITY))).toBe(hash);
      await qemu.qmp.execute('device_add', {
        driver: 'pci-testdev',
        id: 'd0',
        bus: 'rp0',
        addr: '0x0',
      });
      expect(snapshotHash(await readVmSnapshot(qmp, IDENTITY))).not.toBe(hash);
      await qemu.qmp.execute('device_del', { id: 'd0' });
      await qemu.qmp.waitForDeleted('d0');
      expect(snapshotHash(await readVmSnapshot(qmp, IDENTITY))).toBe(hash);
    },
  );
});

it('reads 192 ports, and again with one command each', async () => {
  const { args, ports } = planBoot({
    machine: 'q35',
    rootPorts: 192,
    firmware: 'seabios',
    memoryBytes: 128n << 20n,
  });
  await withSnapshot({ args, paused: true }, async (vm, _, qmp) => {
    expect(vm.ports.map(({ id }) => id)).toEqual(ports.map(({ id }) => id));
    const cold = counting(qmp);
    const first = await readVmSnapshot(cold.session, IDENTITY);
    expect(cold.count()).toBeLessThanOrEqual(9 + 9 * 192 + 1 + 3);
    const warm = counting(qmp);
    const second = await readVmSnapshot(warm.session, IDENTITY, { previous: first });
    expect(warm.count()).toBeLessThanOrEqual(9 + 192 + 3);
    expect(second).toEqual(first);
  });
});
