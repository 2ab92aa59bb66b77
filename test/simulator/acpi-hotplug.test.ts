import { describe, expect, it } from 'vitest';
import {
  GUESTS,
  RELEASES,
  rootPorts,
  type ColdDevice,
  type GuestConfig,
  type QemuConfig,
  type ReleaseName,
} from '../../src/simulator/index.js';
import { addressesOf, BenchVm } from './bench-vm.js';

const RELEASE_NAMES = Object.keys(RELEASES) as ReleaseName[];

const start = (guest: GuestConfig, more: QemuConfig = {}) =>
  BenchVm.start({ qemu: { devices: rootPorts(3), hotplug: 'acpi', guest, ...more } });

describe('ACPI hot-plug with a Linux guest', () => {
  it('adds within 40 ms and removes within 70 ms', async () => {
    const vm = await start(GUESTS.linux);
    await vm.add('a', 'rp0');
    await vm.advance(41);
    expect(vm.world.vm().guest.deviceIds).toEqual(['a']);
    await vm.del('a');
    const removedMs = await vm.untilDeleted('a');
    expect(removedMs).toBeGreaterThanOrEqual(10);
    expect(removedMs).toBeLessThan(72);
    expect(await vm.peripherals()).not.toContain('a');
  });

  it('accepts a repeated request while the guest is working on it', async () => {
    const vm = await start(GUESTS.slow);
    await vm.add('a', 'rp0');
    await vm.del('a');
    await vm.del('a');
    await vm.untilDeleted('a');
    expect(vm.client.deleted).toEqual(['a']);
  });

  it('removes a device that the guest has not even seen', async () => {
    const vm = await start(GUESTS.linux);
    await vm.add('a', 'rp0');
    await vm.del('a');
    await vm.untilDeleted('a');
    expect(await vm.peripherals()).not.toContain('a');
  });

  it('leaves the device and its unplug pending with a guest that never answers', async () => {
    const vm = await start(GUESTS.refusing);
    await vm.add('a', 'rp0');
    await vm.del('a');
    await vm.advance(600_000);
    expect(await vm.peripherals()).toContain('a');
  });

  it('waits while the VM is stopped, and accepts repeats', async () => {
    const vm = await start(GUESTS.linux);
    await vm.add('a', 'rp0');
    await vm.advance(100);
    await vm.value('stop');
    await vm.del('a');
    await vm.del('a');
    await vm.advance(60_000);
    expect(await vm.peripherals()).toContain('a');
    await vm.value('cont');
    expect(await vm.untilDeleted('a')).toBeLessThan(100);
  });

  it('does not serve ACPI when it only knows native slots', async () => {
    const vm = await start(GUESTS.linuxNative);
    await vm.add('a', 'rp0');
    await vm.del('a');
    await vm.advance(60_000);
    expect(await vm.peripherals()).toContain('a');
  });
});

describe('ACPI hot-plug without an operating system', () => {
  it('keeps the unplug pending and completes it at a reset', async () => {
    const vm = await start(GUESTS.absent);
    await vm.add('a', 'rp0');
    await vm.advance(10);
    await vm.del('a');
    await vm.advance(60_000);
    expect(await vm.peripherals()).toContain('a');
    await vm.value('system_reset');
    await vm.untilDeleted('a');
    expect(vm.client.events.map(({ event }) => event)).toContain('RESET');
  });

  it('refuses a repeat for ever when the first request came at virtual time 0', async () => {
    const vm = await start(GUESTS.absent, { startPaused: true });
    await vm.add('a', 'rp0');
    await vm.del('a');
    await vm.advance(60_000);
    expect(await vm.refusal('device_del', { id: 'a' })).toBe(
      'Device a is already in the process of unplug',
    );
    await vm.value('system_reset');
    await vm.untilDeleted('a');
  });

  it('loses sight of a request made before the guest is up, until the next ACPI event', async () => {
    const vm = await start(GUESTS.booting);
    await vm.advance(500);
    await vm.add('a', 'rp0');
    await vm.del('a');
    await vm.advance(60_000);
    expect(await vm.peripherals()).toContain('a');
    await vm.add('b', 'rp1');
    await vm.untilDeleted('a');
    expect(await vm.peripherals()).toContain('b');
  });
});

describe('multifunction under ACPI', () => {
  it('shows the guest nothing until function 0 is there', async () => {
    const vm = await start(GUESTS.linux);
    await vm.add('f1', 'rp0', { addr: '0x0.1' });
    await vm.advance(1_000);
    expect(vm.world.vm().guest.deviceIds).toEqual([]);
    await vm.add('f0', 'rp0', { multifunction: true });
    await vm.advance(100);
    expect([...vm.world.vm().guest.deviceIds].sort()).toEqual(['f0', 'f1']);
  });

  it('removes the whole slot, with one event for each id', async () => {
    const vm = await start(GUESTS.linux);
    await vm.add('f1', 'rp0', { addr: '0x0.1' });
    await vm.add('f0', 'rp0', { multifunction: true });
    await vm.advance(100);
    await vm.del('f1');
    await vm.untilDeleted('f0');
    await vm.untilDeleted('f1');
    expect([...vm.client.deleted].sort()).toEqual(['f0', 'f1']);
  });

  it('gives a function without function 0 nothing at a restart', async () => {
    const vm = await start(GUESTS.linux);
    await vm.add('f1', 'rp0', { addr: '0x0.1' });
    await vm.value('system_reset');
    await vm.advance(5_000);
    const { guest, machine } = vm.world.vm();
    expect(guest.deviceIds).toEqual([]);
    expect(machine.find('f1')?.regions.map(({ address }) => address)).toEqual([
      undefined,
      undefined,
    ]);
  });

  it('cannot ask for a device in another slot of a port than the first, which only a reset takes', async () => {
    const vm = await start(GUESTS.linux);
    await vm.add('far', 'rp0', { addr: '0x1f' });
    await vm.del('far');
    await vm.advance(20_000);
    expect(await vm.peripherals()).toContain('far');
    await vm.value('system_reset');
    await vm.untilDeleted('far');
  });

  it('keeps a stray device of slot 1, which the guest never sees, when slot 0 goes', async () => {
    const vm = await start(GUESTS.linux);
    await vm.add('a', 'rp0');
    await vm.value('device_add', { driver: 'edu', id: 'stray', bus: 'rp0' });
    await vm.advance(1_000);
    expect(vm.world.vm().guest.deviceIds).toEqual(['a']);
    await vm.del('a');
    await vm.untilDeleted('a');
    await vm.advance(1_000);
    expect(await vm.peripherals()).toContain('stray');
  });
});

describe('slots of a port that the guest cannot scan', () => {
  const restart = async (vm: BenchVm) => {
    await vm.value('system_reset');
    await vm.advance(5_000);
  };
  const afterAsking = async (vm: BenchVm, ...ids: readonly string[]) => {
    for (const id of ids) {
      await vm.del(id);
      await vm.advance(1_000);
    }
    return vm.peripherals();
  };

  it.each(RELEASE_NAMES)('go where they had a device at the last start, in %s', async (release) => {
    const vm = await start(GUESTS.linux, { release });
    await vm.add('far', 'rp0', { addr: '0x1' });
    await restart(vm);
    expect(vm.world.vm().guest.deviceIds).toEqual([]);
    expect(await afterAsking(vm, 'far')).not.toContain('far');
    await vm.add('next', 'rp0', { addr: '0x1' });
    expect(await afterAsking(vm, 'next')).not.toContain('next');
    await restart(vm);
    await vm.add('late', 'rp0', { addr: '0x1' });
    expect(await afterAsking(vm, 'late')).toContain('late');
  });

  it.each(RELEASE_NAMES)(
    'of a switch are found at the next start alone, in %s',
    async (release) => {
      const devices: readonly ColdDevice[] = [
        ...rootPorts(1),
        { driver: 'x3130-upstream', id: 'up', bus: 'rp0', addr: '0x0' },
        { driver: 'xio3130-downstream', id: 'dn', bus: 'up', addr: '0x0', chassis: 9, slot: 1 },
      ];
      const vm = await start(GUESTS.linux, { release, devices });
      await vm.add('inner', 'up', { addr: '0x1' });
      await vm.advance(1_000);
      expect(vm.world.vm().guest.deviceIds).toEqual([]);
      expect(await afterAsking(vm, 'inner')).toContain('inner');
      await restart(vm);
      await vm.add('inner', 'up', { addr: '0x1' });
      await restart(vm);
      expect(vm.world.vm().guest.deviceIds).toEqual(['inner']);
      expect(await afterAsking(vm, 'inner')).not.toContain('inner');
    },
  );

  it('go behind an empty one in 10.0 only', async () => {
    const left = async (release: ReleaseName) => {
      const vm = await start(GUESTS.linux, { release });
      for (const slot of [1, 2, 4]) await vm.add(`far${slot}`, 'rp0', { addr: `0x${slot}` });
      await restart(vm);
      return afterAsking(vm, 'far4', 'far2', 'far1');
    };
    expect(await left('7.2.22')).toContain('far4');
    expect(await left('10.0.13')).not.toContain('far4');
    for (const release of RELEASE_NAMES) expect(await left(release)).not.toContain('far2');
  });

  it.each([
    ['7.2.22', false],
    ['10.0.13', true],
  ] as const)('keep other ports waiting while they lack function 0, in %s: %s', async (...row) => {
    const [release, stuck] = row;
    const vm = await start(GUESTS.linux, { release });
    await vm.add('f1', 'rp1', { addr: '0x1.1' });
    await restart(vm);
    await vm.del('f1');
    await vm.add('older', 'rp0');
    await vm.add('newer', 'rp2');
    const left = await afterAsking(vm, 'older', 'newer');
    expect(left).toContain('f1');
    expect(left).not.toContain('newer');
    expect(left.includes('older')).toBe(stuck);
    // The port itself is read up to that slot.
    await vm.add('same', 'rp1');
    expect(await afterAsking(vm, 'same')).not.toContain('same');
    await restart(vm);
    expect(await vm.peripherals()).not.toContain('f1');
  });

  it.each(['acpi', 'native'] as const)(
    'get addresses from firmware where the port has power, by %s',
    async (hotplug) => {
      const vm = await start({ kind: 'linux', placesBars: false }, { hotplug });
      await vm.add('far', 'rp0', { addr: '0x1' });
      await vm.add('near', 'rp0');
      await vm.add('alone', 'rp1', { addr: '0x1' });
      await restart(vm);
      expect(vm.world.vm().guest.deviceIds).toEqual(['near']);
      const isPlaced = async (id: string) => addressesOf(await vm.pciEntry(id))[0] !== -1;
      expect(await Promise.all(['far', 'near'].map(isPlaced))).toEqual([true, true]);
      expect(await isPlaced('alone')).toBe(false);
    },
  );

  it('show a plug of before a restart once, after it', async () => {
    const vm = await start(GUESTS.linux, { release: '10.0.13' });
    await vm.value('stop');
    await vm.add('f1', 'rp2', { addr: '0x1.1' });
    await vm.add('a', 'rp0');
    await vm.value('system_reset');
    await vm.value('cont');
    await vm.advance(5_000);
    expect(await afterAsking(vm, 'a')).toContain('a');
    expect(await afterAsking(vm, 'a')).not.toContain('a');
  });
});

describe('a guest with a will of its own', () => {
  it('gives a device back that nobody asked for', async () => {
    const vm = await start(GUESTS.ejecting);
    await vm.add('a', 'rp0');
    const tookMs = await vm.untilDeleted('a');
    expect(tookMs).toBeGreaterThan(1_500);
  });

  it('ejects on demand of a test', async () => {
    const vm = await start(GUESTS.linux);
    await vm.add('a', 'rp0');
    await vm.advance(100);
    vm.world.vm().guest.eject('a');
    await vm.untilDeleted('a');
  });
});

describe('what query-pci shows', () => {
  it('places BARs in the port, and not before the guest has taken the device', async () => {
    const vm = await start(GUESTS.linux);
    await vm.add('a', 'rp0', { membar: 1 << 20 });
    expect(addressesOf(await vm.pciEntry('a'))).toMatchObject({ 0: -1, 2: -1 });
    await vm.advance(100);
    const placed = addressesOf(await vm.pciEntry('a'));
    expect(placed[0]).toBeGreaterThan(0);
    expect(placed[2]).toBeGreaterThan(0);
    // The port has no I/O window.
    expect(placed[1]).toBe(-1);
  });

  it('leaves a BAR unplaced that does not fit the window', async () => {
    const vm = await start(GUESTS.linux);
    await vm.add('a', 'rp0', { membar: 64 << 20 });
    await vm.advance(100);
    expect(addressesOf(await vm.pciEntry('a'))[2]).toBe(-1);
  });

  it('leaves every BAR unplaced with a guest that places none', async () => {
    const vm = await start({ kind: 'linux', placesBars: false });
    await vm.add('a', 'rp0');
    await vm.advance(100);
    expect(addressesOf(await vm.pciEntry('a'))[0]).toBe(-1);
  });

  it('hides what is behind a port until firmware has numbered it', async () => {
    const vm = await start(GUESTS.absent, { startPaused: true });
    await vm.add('a', 'rp0');
    const port = await vm.pciEntry('rp0');
    expect(port).toMatchObject({ pci_bridge: { bus: { secondary: 0 } } });
    expect(port?.pci_bridge).not.toHaveProperty('devices');
    await vm.value('cont');
    await vm.advance(500);
    expect(addressesOf(await vm.pciEntry('a'))[0]).toBeGreaterThan(0);
    expect(await vm.pciEntry('rp1')).toMatchObject({ pci_bridge: { devices: [] } });
  });

  it('forgets numbers and addresses at a reset', async () => {
    const vm = await start(GUESTS.linux);
    await vm.value('system_reset');
    expect(await vm.pciEntry('rp0')).toMatchObject({ pci_bridge: { bus: { secondary: 0 } } });
    await vm.advance(1_000);
    expect(await vm.pciEntry('rp0')).toMatchObject({ pci_bridge: { bus: { secondary: 1 } } });
  });
});

describe('windows', () => {
  const gib = 1n << 30n;

  it('are as long as the reserve and, as OVMF has it, aligned to their length', async () => {
    const vm = await start(GUESTS.linux, {
      devices: rootPorts(2, { properties: { 'pref64-reserve': 4n * gib } }),
    });
    await vm.add('a', 'rp1', { membar: 4n * gib });
    await vm.advance(100);
    const { base, limit } = await prefetchableOf(vm, 'rp1');
    expect(limit - base + 1n).toBe(4n * gib);
    expect(base % (4n * gib)).toBe(0n);
    expect(addressesOf(await vm.pciEntry('a'))[2]).toBe(Number(base));
  });

  it('can be of the right length and too small all the same', async () => {
    const vm = await start(GUESTS.linux, {
      devices: rootPorts(2, { properties: { 'pref64-reserve': 8n * gib } }),
      firmware: { windowAlignment: '2M' },
    });
    await vm.add('a', 'rp0', { membar: 8n * gib });
    await vm.advance(100);
    const { base, limit } = await prefetchableOf(vm, 'rp0');
    expect(limit - base + 1n).toBe(8n * gib);
    expect(base % (8n * gib)).not.toBe(0n);
    expect(addressesOf(await vm.pciEntry('a'))[2]).toBe(-1);
  });

  async function prefetchableOf(vm: BenchVm, port: string) {
    const entry = await vm.pciEntry(port);
    const range = (entry?.pci_bridge as { bus: { prefetchable_range: Record<string, number> } }).bus
      .prefetchable_range;
    return { base: BigInt(range.base ?? 0), limit: BigInt(range.limit ?? 0) };
  }
});
