import { describe, expect, it } from 'vitest';
import { planBoot, type BootRequest } from '../../src/boot/index.js';
import { bootForeignGuest } from '../support/foreign-guest.js';
import { bootGuest } from '../support/qemu.js';
import { GuestBench } from './guest-bench.js';

const MIB = 1n << 20n;
const TESTDEV = 'pci-testdev';

const argsFor = (change: Partial<BootRequest>) =>
  planBoot({
    machine: 'q35',
    rootPorts: 0,
    firmware: 'seabios',
    memoryBytes: 512n * MIB,
    ...change,
  }).args;

it('q35: a switch port, a bridge slot and a port on each NUMA node come and go', async () => {
  const nodes = [0, 1].flatMap((node) => [
    ...['-object', `memory-backend-ram,id=mem${node},size=128M`],
    ...['-numa', `node,nodeid=${node},memdev=mem${node}`],
  ]);
  const numa = argsFor({ rootPorts: 2, numaNodes: [0, 1], firstDevice: 8 });
  const others = argsFor({ switchPorts: 2, pciBridges: 1, firstDevice: 2 });
  // The slot numbers of two plans are the same; a second chassis keeps them apart.
  const further = others.map((word) => word.replace('chassis=1,', 'chassis=9,'));
  const guest = await bootGuest({ args: [...nodes, ...numa, ...further] });
  await using bench = new GuestBench(guest);
  const inSwitch = await bench.comeAndGo(TESTDEV, 'in-switch', 'sp1');
  const inBridge = await bench.comeAndGo(TESTDEV, 'in-bridge', 'pb0.5');
  // Behind a pxb ports are native, and to leave one takes six seconds.
  const onNode0 = await bench.come(TESTDEV, 'node0', 'rp0');
  const onNode1 = await bench.comeAndGo(TESTDEV, 'node1', 'rp1');
  expect(inSwitch.guestPath).toBe('02/00/01/00');
  expect(inBridge.guestPath).toBe('02.1/00/05');
  expect(onNode0.guestPath).toBe('pci0000:fc/00/00');
  expect(onNode1.guestPath).toBe('pci0000:fe/00/00');
});

it('pc: a bridge slot and a slot of the root bus come and go', async () => {
  const guest = await bootGuest({ machine: 'pc', args: argsFor({ machine: 'pc', pciBridges: 2 }) });
  await using bench = new GuestBench(guest);
  const inBridge = await bench.comeAndGo(TESTDEV, 'in-bridge', 'pb1.31');
  const onRoot = await bench.comeAndGo(TESTDEV, 'on-root', 'pci.0.7');
  expect(inBridge.guestPath).toBe('1f/1f');
  expect(onRoot).toMatchObject({ guestPath: '07', guestBdf: '0000:00:07.0' });
});

it('virt on aarch64: ports of nested switches take devices, and a root port gives one back', async () => {
  const planned = argsFor({ machine: 'virt', rootPorts: 1, switchPorts: 2, firmware: 'ovmf' });
  const nested = [
    ...['-device', 'x3130-upstream,id=deepup,bus=sp1,addr=0x0'],
    ...['-device', 'xio3130-downstream,id=deep,bus=deepup,addr=0x3,chassis=10,slot=1'],
  ];
  await using bench = new GuestBench(
    await bootForeignGuest('aarch64', { cpu: 'cortex-a57', args: [...planned, ...nested] }),
  );
  const inSwitch = await bench.come(TESTDEV, 'in-switch', 'sp0');
  const deep = await bench.come(TESTDEV, 'deep-inside', 'deep');
  const inPort = await bench.comeAndGo(TESTDEV, 'in-port', 'rp0');
  expect(inPort.guestPath).toBe('02/00');
  expect(inSwitch.guestPath).toBe('02.1/00/00/00');
  expect(deep.guestPath).toBe('02.1/00/01/00/03/00');
});

describe('s390x', () => {
  it('a channel device by its number and a PCI function by its uid come and go', async () => {
    const guest = await bootForeignGuest('s390x', { modules: ['virtio_pci'] });
    await using bench = new GuestBench(guest);
    const named = await bench.attach('virtio-rng-ccw', 'named', '--port', 'fe.1.0042');
    expect(named).toMatchObject({ port: 'ccw1', addr: 'fe.1.0042', guestPath: '0.1.0042' });
    const next = await bench.attach('virtio-rng-ccw', 'next', '--port', 'ccw1');
    expect(next).toMatchObject({ port: 'ccw1', addr: 'fe.1.0000', guestPath: '0.1.0000' });
    const ccw = (device: { guestPath: string }) => `/sys/bus/ccw/devices/${device.guestPath}`;
    await bench.waitFor(ccw(named), true);
    await bench.waitFor(ccw(next), true);
    await bench.detach('named');
    await bench.waitFor(ccw(named), false);
    await bench.waitFor(ccw(next), true);
    await bench.detach('next');
    await bench.waitFor(ccw(next), false);

    const numbers = ['--zpci-uid', '66', '--zpci-fid', '9'];
    const numbered = await bench.attach('virtio-rng-pci', 'numbered', ...numbers);
    expect(numbered).toMatchObject({ guestPath: 'pci0042:00/00', guestBdf: '0042:00:00.0' });
    await bench.waitFor('/sys/bus/pci/devices/0042:00:00.0', true);
    const pci = await bench.comeAndGo('virtio-rng-pci', 'function', 'pci.0.4');
    expect(pci).toMatchObject({
      addr: '0x4',
      guestPath: 'pci0001:00/00',
      guestBdf: '0001:00:00.0',
    });
    const ran = await bench.home.json(['detach', bench.vm, 'numbered', '--timeout', '60']);
    expect(ran).toMatchObject({
      status: 0,
      document: {
        removals: [
          { id: 'numbered', state: 'unplugged' },
          { id: 'zpci_numbered', state: 'unplugged' },
        ],
      },
    });
    await bench.waitFor('/sys/bus/pci/devices/0042:00:00.0', false);
  });
});

/*
 * Debian's kernel for riscv64 has no pciehp, so nobody switches on the power of the slot: the guest never sees the
 * device, and the port gives it back at once.
 */
it('virt on riscv64: a root port gives back what its guest has no driver for', async () => {
  const args = argsFor({ machine: 'virt', rootPorts: 1, firmware: 'ovmf' });
  await using bench = new GuestBench(await bootForeignGuest('riscv64', { cpu: 'rv64', args }));
  const device = await bench.attach(TESTDEV, 'in-port');
  expect(device).toMatchObject({ port: 'rp0', guestPath: '02/00', guestBdf: '0000:01:00.0' });
  await bench.detach('in-port');
  expect((await bench.home.json(['status', bench.vm])).document).toMatchObject({
    vm: { experimental: expect.stringContaining('no guest with pciehp') as unknown },
  });
});
