import { describe, expect, it } from 'vitest';
import { GUESTS, rootPorts, type GuestConfig, type QemuConfig } from '../../src/simulator/index.js';
import { addressesOf, BenchVm } from './bench-vm.js';

const start = (guest: GuestConfig, more: QemuConfig = {}) =>
  BenchVm.start({ qemu: { devices: rootPorts(3), hotplug: 'native', guest, ...more } });

const BUSY = 'Hot-unplug failed: guest is busy (power indicator blinking)';

describe('native hot-plug with a Linux guest', () => {
  it('adds within 155 ms and removes after six seconds', async () => {
    const vm = await start(GUESTS.linux);
    await vm.add('a', 'rp0');
    await vm.advance(130);
    expect(vm.world.vm().guest.deviceIds).toEqual([]);
    await vm.advance(25);
    expect(vm.world.vm().guest.deviceIds).toEqual(['a']);
    await vm.del('a');
    const removedMs = await vm.untilDeleted('a');
    expect(removedMs).toBeGreaterThan(6_050);
    expect(removedMs).toBeLessThan(6_300);
  });

  it('refuses a repeat: first by the latch, then because the guest is busy', async () => {
    const vm = await start(GUESTS.linux);
    await vm.add('a', 'rp0');
    await vm.advance(1_000);
    await vm.del('a');
    await vm.advance(4_900);
    expect(await vm.refusal('device_del', { id: 'a' })).toBe(
      'Device a is already in the process of unplug',
    );
    await vm.advance(200);
    expect(await vm.refusal('device_del', { id: 'a' })).toBe(BUSY);
    await vm.untilDeleted('a');
  });

  it('refuses while the guest is powering the slot on, and keeps the device', async () => {
    const vm = await start(GUESTS.linux);
    await vm.add('a', 'rp0');
    await vm.advance(50);
    expect(await vm.refusal('device_del', { id: 'a' })).toBe(BUSY);
    await vm.advance(10_000);
    expect(await vm.peripherals()).toContain('a');
    await vm.del('a');
    await vm.untilDeleted('a');
  });

  it('removes at once what the guest has not reacted to', async () => {
    const vm = await start({ kind: 'linux', extraMs: 1_000 });
    await vm.add('a', 'rp0');
    await vm.del('a');
    expect(await vm.untilDeleted('a')).toBeLessThan(70);
  });

  it('freezes the latch and the guest while the VM is stopped', async () => {
    const vm = await start(GUESTS.linux);
    await vm.add('a', 'rp0');
    await vm.advance(1_000);
    await vm.value('stop');
    await vm.del('a');
    await vm.advance(60_000);
    expect(await vm.refusal('device_del', { id: 'a' })).toMatch(/already in the process/);
    await vm.value('cont');
    const removedMs = await vm.untilDeleted('a');
    expect(removedMs).toBeGreaterThan(6_000);
    expect(removedMs).toBeLessThan(6_400);
  });

  it('loses the request at a reset and accepts another one after the latch', async () => {
    const vm = await start(GUESTS.linux);
    await vm.add('a', 'rp0');
    await vm.advance(1_000);
    await vm.del('a');
    await vm.value('system_reset');
    await vm.advance(4_000);
    expect(await vm.refusal('device_del', { id: 'a' })).toMatch(/already in the process/);
    await vm.advance(3_000);
    expect(await vm.peripherals()).toContain('a');
    await vm.del('a');
    await vm.untilDeleted('a');
  });

  it('never completes with a guest that does not answer', async () => {
    const vm = await start(GUESTS.refusing);
    await vm.value('device_add', { driver: 'edu', id: 'a', bus: 'rp0', addr: '0x0' });
    await vm.value('system_reset');
    await vm.advance(5_000);
    await vm.del('a');
    await vm.advance(600_000);
    expect(await vm.peripherals()).toContain('a');
  });
});

describe('native hot-plug without an operating system', () => {
  it('removes at once: the slot was never powered', async () => {
    const vm = await start(GUESTS.absent);
    await vm.add('a', 'rp0');
    await vm.del('a');
    expect(await vm.untilDeleted('a')).toBeLessThan(70);
  });

  it('has unlinked the object before its event is out', async () => {
    const vm = await start(GUESTS.absent);
    await vm.add('a', 'rp0');
    await vm.del('a');
    expect(await vm.refusal('device_del', { id: 'a' })).toBe("Device 'a' not found");
    expect(vm.client.deleted).toEqual([]);
    await vm.untilDeleted('a');
  });

  it('sends the event of an earlier namesake while the new device is there', async () => {
    const vm = await start(GUESTS.absent);
    await vm.add('a', 'rp0');
    await vm.del('a');
    await vm.add('a', 'rp0');
    await vm.untilDeleted('a');
    expect(await vm.peripherals()).toContain('a');
  });

  it('hides a device from firmware that was added before it ran, until a reset', async () => {
    const vm = await start(GUESTS.absent, { startPaused: true });
    await vm.add('a', 'rp0');
    await vm.value('cont');
    await vm.advance(1_000);
    expect(addressesOf(await vm.pciEntry('a'))[0]).toBe(-1);
    await vm.value('system_reset');
    await vm.advance(1_000);
    expect(addressesOf(await vm.pciEntry('a'))[0]).toBeGreaterThan(0);
  });

  it('is powered on by the operating system when it comes up', async () => {
    const vm = await start(GUESTS.booting);
    await vm.advance(500);
    await vm.add('a', 'rp0');
    await vm.advance(3_000);
    expect(vm.world.vm().guest.deviceIds).toEqual(['a']);
  });
});

describe('multifunction on native ports', () => {
  it('removes everything behind the port, a stray device of slot 1 too', async () => {
    const vm = await start(GUESTS.absent);
    await vm.add('a', 'rp0');
    await vm.value('device_add', { driver: 'edu', id: 'stray', bus: 'rp0' });
    await vm.del('a');
    await vm.untilDeleted('stray');
    expect(await vm.peripherals()).toEqual(['rp0', 'rp1', 'rp2']);
  });

  it('lets one function go alone while function 0 is absent', async () => {
    const vm = await start(GUESTS.linux);
    await vm.add('f1', 'rp0', { addr: '0x0.1' });
    await vm.add('f2', 'rp0', { addr: '0x0.2' });
    await vm.del('f2');
    expect(await vm.untilDeleted('f2')).toBeLessThan(70);
    expect(await vm.peripherals()).toContain('f1');
  });
});

it('announces the inner object of a virtio device first', async () => {
  const vm = await start(GUESTS.absent);
  await vm.add('v', 'rp0', { driver: 'virtio-rng-pci' });
  await vm.del('v');
  await vm.untilDeleted('v');
  expect(vm.client.events.map(({ data }) => data)).toEqual([
    { path: '/machine/peripheral/v/virtio-backend' },
    { device: 'v', path: '/machine/peripheral/v' },
  ]);
});

it('keeps ports below an expander native in an ACPI machine', async () => {
  const devices = [
    ...rootPorts(1),
    { driver: 'pxb-pcie', id: 'pxb0', bus: 'pcie.0', addr: '0xa', bus_nr: 128 },
    { driver: 'pcie-root-port', id: 'far', bus: 'pxb0', addr: '0x0', chassis: 9, slot: 9 },
  ];
  const vm = await BenchVm.start({ qemu: { devices, hotplug: 'acpi', guest: GUESTS.linux } });
  await vm.add('a', 'far');
  await vm.advance(1_000);
  await vm.del('a');
  expect(await vm.untilDeleted('a')).toBeGreaterThan(6_000);
});

describe('the standard hot-plug controller of a conventional bridge', () => {
  const devices = [{ driver: 'pci-bridge', id: 'br0', bus: 'pcie.0', addr: '0x9', chassis_nr: 5 }];
  const bridge = (guest: GuestConfig) => start(guest, { devices });

  it('serves slots 1 to 31 with the native timing', async () => {
    const vm = await bridge(GUESTS.linux);
    await vm.add('a', 'br0', { addr: '0x3' });
    await vm.add('b', 'br0', { addr: '0x4' });
    await vm.advance(1_000);
    await vm.del('a');
    expect(await vm.untilDeleted('a')).toBeGreaterThan(6_000);
    expect(await vm.peripherals()).toContain('b');
  });

  it('refuses slot 0, after announcing the inner object it had made', async () => {
    const vm = await bridge(GUESTS.absent);
    const args = { driver: 'virtio-rng-pci', id: 'v', bus: 'br0', addr: '0x0' };
    expect(await vm.refusal('device_add', args)).toBe(
      'Unsupported PCI slot 0 for standard hotplug controller. Valid slots are between 1 and 31.',
    );
    expect(vm.client.events.map(({ data }) => data)).toEqual([
      { path: '/machine/peripheral/v/virtio-backend' },
    ]);
  });
});
