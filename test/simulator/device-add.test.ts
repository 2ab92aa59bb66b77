import { describe, expect, it } from 'vitest';
import {
  argumentsOf,
  configFromArguments,
  createWorld,
  rootPorts,
  type QemuConfig,
} from '../../src/simulator/index.js';
import { BenchVm } from './bench-vm.js';

/*
 * QEMU 7.2 is held to the real one by test/qemu/simulator-agrees.test.ts. Here are the texts and
 * rules of 10.0, which may not be installed, and what a command line is refused for.
 */

const start = (more: QemuConfig = {}) =>
  BenchVm.start({
    qemu: { release: '10.0.13', devices: rootPorts(3), startPaused: true, ...more },
  });

const add = (more: Record<string, unknown>) =>
  ({ driver: 'pci-testdev', id: 'a', bus: 'rp0', addr: '0x0', ...more }) as Record<string, string>;

describe('device_add of QEMU 10.0', () => {
  it.each([
    [{ multifunction: 'on' }, "Invalid parameter type for 'multifunction', expected: boolean"],
    [{ membar: '4G' }, "Parameter 'membar' expects uint64"],
    [{ addr: 256 }, "Parameter 'addr' expects a value between -1 and 255"],
    [{ addr: 'zz' }, "Property 'pci-testdev.addr' doesn't take value 'zz'"],
    [{ driver: 'vfio-pci-nohotplug' }, "Device 'vfio-pci-nohotplug' does not support hotplugging"],
    [{ driver: 'vfio-pci', host: '0000:41:00.0', iommufd: 'no' }, "Device 'no' not found"],
  ])('refuses %j', async (more, text) => {
    const vm = await start();
    expect(await vm.refusal('device_add', add(more))).toBe(text);
  });

  it.each([
    [{}, [0, 1, 2, 3, 6]],
    [{ romfile: '' }, [0, 1, 2, 3]],
  ])('gives a card its option ROM, or none: %j', async (more, bars) => {
    const vm = await start();
    await vm.add('a', 'rp0', { driver: 'e1000e', ...more });
    const regions = vm.world.vm().machine.find('a')?.regions ?? [];
    expect(regions.map(({ bar }) => bar)).toEqual(bars);
  });

  it('takes a number as devfn, not as slot', async () => {
    const vm = await start();
    await vm.add('a', 'rp0', { addr: 2 });
    const path = '/machine/peripheral/a';
    expect(await vm.value('qom-get', { path, property: 'addr' })).toBe(2);
  });

  it.each([
    ['br0', {}, 0x1005, [0, 1, 4]],
    ['rp0', {}, 0x1044, [1, 4]],
    ['br0', { 'disable-legacy': 'on' }, 0x1044, [1, 4]],
    ['rp0', { 'disable-legacy': 'off' }, 0x1005, [0, 1, 4]],
  ])(
    'makes a virtio device on %s with %j what old drivers know there',
    async (bus, more, id, bars) => {
      const bridge = { driver: 'pcie-pci-bridge', id: 'br0', bus: 'pcie.0', addr: '0x9' };
      const vm = await start({ devices: [...rootPorts(1), bridge], startPaused: false });
      const addr = bus === 'br0' ? '0x1' : '0x0';
      await vm.value('device_add', { driver: 'virtio-rng-pci', id: 'a', bus, addr, ...more });
      const device = vm.world.vm().machine.devices.find((each) => each.id === 'a');
      expect(device?.identity.deviceId).toBe(id);
      expect(device?.regions.map(({ bar }) => bar)).toEqual(bars);
    },
  );

  it('takes ids that 7.2 refuses', async () => {
    const vm = await start();
    await vm.add('1 odd,id', 'rp0');
    expect(await vm.peripherals()).toContain('1 odd,id');
    const old = await start({ release: '7.2.22' });
    expect(await old.refusal('device_add', add({ id: '1 odd,id' }))).toBe(
      "Parameter 'id' expects an identifier",
    );
  });

  it('refuses a second device without addr that 7.2 puts into slot 1', async () => {
    const vm = await start();
    await vm.add('a', 'rp0');
    const second = { driver: 'edu', id: 'b', bus: 'rp0' };
    expect(await vm.refusal('device_add', second)).toBe(
      'PCI: slot 0 function 0 already occupied by pci-testdev, new func edu cannot be exposed to guest.',
    );
    const old = await start({ release: '7.2.22' });
    await old.add('a', 'rp0');
    await old.value('device_add', second);
    expect(await old.value('qom-get', { path: '/machine/peripheral/b', property: 'addr' })).toBe(8);
  });

  it('has iommufd objects, which stay while a device uses them', async () => {
    const vm = await start();
    await vm.value('object-add', { 'qom-type': 'iommufd', id: 'iommufd0' });
    expect(JSON.stringify(await vm.value('qom-list', { path: '/objects' }))).toContain(
      'child<iommufd>',
    );
    const properties = await vm.value('device-list-properties', { typename: 'vfio-pci' });
    expect(JSON.stringify(properties)).toContain('"iommufd"');
    const old = await start({ release: '7.2.22' });
    expect(await old.refusal('object-add', { 'qom-type': 'iommufd', id: 'i' })).toBe(
      "Parameter 'qom-type' does not accept value 'iommufd'",
    );
  });

  it('takes hot-plug on the bus of an upstream port, and none on a port without it', async () => {
    const vm = await start({
      devices: [
        ...rootPorts(1),
        { driver: 'x3130-upstream', id: 'up0', bus: 'rp0', addr: '0x0' },
        ...rootPorts(1, {
          prefix: 'off',
          firstDevice: 9,
          properties: { hotplug: false, chassis: 9 },
        }),
      ],
    });
    await vm.value('device_add', add({ bus: 'up0', addr: '0x3' }));
    expect(await vm.refusal('device_add', add({ id: 'b', bus: 'off0' }))).toBe(
      "Bus 'off0' does not support hotplugging",
    );
  });
});

it('answers a failing device_add late, after every pending DEVICE_DELETED', async () => {
  const vm = await start({ hotplug: 'native', timing: { graceMs: [500, 500] } });
  await vm.add('a', 'rp0');
  await vm.del('a');
  const startMs = vm.nowMs;
  expect(await vm.refusal('device_add', {})).toBe("Parameter 'driver' is missing");
  expect(vm.nowMs - startMs).toBeGreaterThan(20);
  expect(vm.nowMs - startMs).toBeLessThan(100);
  expect(vm.client.deleted).toEqual(['a']);
});

describe('the command line', () => {
  const boot = (devices: QemuConfig['devices'] = []) => createWorld({ seed: 1, qemu: { devices } });

  it('is refused for two ports of one chassis and slot', () => {
    expect(() =>
      boot([
        { driver: 'pcie-root-port', id: 'a', bus: 'pcie.0', chassis: 1, slot: 1 },
        { driver: 'pcie-root-port', id: 'b', bus: 'pcie.0', chassis: 1, slot: 1 },
      ]),
    ).toThrow("Can't add chassis slot, error -16");
  });

  it('is refused for an endpoint right on an expander', () => {
    expect(() =>
      boot([
        { driver: 'pxb-pcie', id: 'pxb0', bus: 'pcie.0', bus_nr: 64 },
        { driver: 'edu', id: 'e', bus: 'pxb0' },
      ]),
    ).toThrow('PCI: Only PCI/PCIe bridges can be plugged into pxb0');
  });

  it('is refused for a place that is taken', () => {
    expect(() =>
      boot([...rootPorts(1), { driver: 'edu', id: 'e', bus: 'pcie.0', addr: '0x2' }]),
    ).toThrow('PCI: slot 2 function 0 not available for edu, in use by pcie-root-port,id=rp0');
  });

  it('is read back from what it was written as', () => {
    const config: QemuConfig = {
      name: 'web',
      hotplug: 'native',
      startPaused: true,
      memoryBytes: 1n << 30n,
      monitors: ['unix:/run/web.sock'],
      devices: rootPorts(2, { properties: { 'pref64-reserve': '32G' } }),
    };
    const args = argumentsOf(config);
    const read = configFromArguments(args);
    expect(read).toMatchObject({ name: 'web', hotplug: 'native', memoryBytes: 1n << 30n });
    expect(argumentsOf(read)).toEqual(args);
    expect(() => createWorld({ seed: 1, qemu: read })).not.toThrow();
  });
});
