import { describe, expect, it } from 'vitest';
import {
  Faults,
  FAULTS,
  gpuFunction,
  GUESTS,
  Random,
  rootPorts,
  Trace,
  VirtualClock,
  type FaultName,
  type FaultRule,
} from '../../src/simulator/index.js';
import { BenchVm } from './bench-vm.js';
import { RawClient } from './raw-client.js';

const GPU = '0000:41:00.0';
const ADDRESS = 'unix:/run/vm0.sock';

/** A VM with one fault. */
function withFault(rule: FaultRule): Promise<BenchVm> {
  return BenchVm.start({
    qemu: { devices: rootPorts(3), guest: GUESTS.linux },
    host: { functions: [gpuFunction({ bdf: GPU, group: 7, driver: 'vfio-pci' })] },
    faults: { rules: [rule] },
  });
}

const on = (fault: FaultName, command = 'device_add', more: Partial<FaultRule> = {}) =>
  withFault({ fault, at: { command }, ...more });

const ADD = { driver: 'edu', id: 'a', bus: 'rp0', addr: '0x0' };

async function sendAndSettle(vm: BenchVm, milliseconds = 1_000): Promise<void> {
  await vm.client.sendCommand('device_add', ADD);
  await vm.advance(milliseconds);
}

/** Peripherals as a second client sees them. */
async function seenByAnother(vm: BenchVm): Promise<string> {
  const other = new RawClient(vm.world.connect(ADDRESS));
  await vm.world.run(other.negotiate());
  const list = await vm.world.run(other.command('qom-list', { path: '/machine/peripheral' }));
  other.close();
  await vm.advance(1);
  return JSON.stringify(list);
}

describe('connections', () => {
  it('break before the command was sent: it never runs', async () => {
    const vm = await on('disconnect-before-send');
    await sendAndSettle(vm);
    expect(vm.client.closed).toBe(true);
    expect(await seenByAnother(vm)).not.toContain('"a"');
  });

  it('break after it was sent: it runs unheard', async () => {
    const vm = await on('disconnect-after-send');
    await sendAndSettle(vm);
    expect(vm.client.closed).toBe(true);
    expect(await seenByAnother(vm)).toContain('"a"');
  });

  it('break after it ran: its answer is lost', async () => {
    const vm = await on('disconnect-after-run');
    await sendAndSettle(vm);
    expect(vm.client.closed).toBe(true);
    expect(vm.client.others.some(({ id }) => id === 2)).toBe(false);
    expect(await seenByAnother(vm)).toContain('"a"');
  });

  it('break between the answer and the event', async () => {
    const vm = await on('disconnect-after-reply', 'device_del');
    await vm.add('a', 'rp0');
    await vm.advance(100);
    await vm.del('a');
    await vm.advance(1_000);
    expect([vm.client.closed, vm.client.deleted]).toEqual([true, []]);
    expect(await seenByAnother(vm)).not.toContain('"a"');
  });

  it('break within an answer', async () => {
    const vm = await on('truncated-reply');
    await sendAndSettle(vm);
    expect(vm.client.closed).toBe(true);
    expect(vm.client.remainder).toBe('{"return": {"a');
  });

  it('are refused, or never greeted', async () => {
    const vm = await BenchVm.start({ qemu: { devices: rootPorts(1) } });
    vm.client.close();
    await vm.advance(1);
    vm.world.faults.add({ fault: 'connect-refused' });
    expect(() => vm.world.connect(ADDRESS)).toThrow(
      expect.objectContaining({ code: 'CONNECT_FAILED' }),
    );
    vm.world.faults.add({ fault: 'no-greeting' });
    const silent = new RawClient(vm.world.connect(ADDRESS));
    await vm.advance(60_000);
    expect(silent.others).toEqual([]);
  });
});

describe('answers', () => {
  it('come late, after the command ran', async () => {
    const vm = await on('late-reply', 'device_add', { delayMs: 90_000 });
    const id = await vm.client.sendCommand('device_add', ADD);
    await vm.advance(80_000);
    expect(vm.client.others.some((message) => message.id === id)).toBe(false);
    expect(vm.world.vm().machine.find('a')).toBeDefined();
    expect(await vm.world.run(vm.client.answer(id))).toEqual({ return: {} });
  });

  it('come late because the command ran late', async () => {
    const vm = await on('late-run', 'device_add', { delayMs: 90_000 });
    const id = await vm.client.sendCommand('device_add', ADD);
    await vm.advance(80_000);
    expect(vm.world.vm().machine.find('a')).toBeUndefined();
    await vm.world.run(vm.client.answer(id));
    expect(vm.world.vm().machine.find('a')).toBeDefined();
  });

  it('come after the event they announced', async () => {
    const vm = await on('event-before-reply', 'device_del');
    await vm.add('a', 'rp0');
    await vm.advance(100);
    const id = await vm.client.sendCommand('device_del', { id: 'a' });
    await vm.untilDeleted('a');
    expect(vm.client.others.some((message) => message.id === id)).toBe(false);
    await vm.world.run(vm.client.answer(id));
  });

  it('come to questions that nobody asked', async () => {
    const vm = await on('unknown-reply');
    await vm.add('a', 'rp0');
    expect(vm.client.others).toContainEqual({ return: {}, id: 'nobody-asked' });
  });
});

describe('events', () => {
  const gone = (fault: FaultName, more: Partial<FaultRule> = {}) =>
    withFault({ fault, at: { event: 'DEVICE_DELETED', device: 'a' }, ...more });

  async function remove(vm: BenchVm): Promise<void> {
    await vm.add('a', 'rp0');
    await vm.advance(100);
    await vm.del('a');
    await vm.advance(200);
  }

  it('get lost', async () => {
    const vm = await gone('drop-event');
    await remove(vm);
    expect([vm.client.deleted, await vm.peripherals()]).toEqual([[], ['rp0', 'rp1', 'rp2']]);
  });

  it('come twice', async () => {
    const vm = await gone('duplicate-event');
    await remove(vm);
    expect(vm.client.deleted).toEqual(['a', 'a']);
  });

  it('come after others that were sent later', async () => {
    const vm = await gone('delay-event', { delayMs: 500 });
    await vm.add('b', 'rp1');
    await remove(vm);
    await vm.del('b');
    await vm.untilDeleted('a');
    expect(vm.client.deleted).toEqual(['b', 'a']);
  });

  it('are forged while the device is still held', async () => {
    const vm = await on('foreign-event', 'device_del');
    await vm.add('a', 'rp0');
    vm.world.vm().machine.stop();
    await vm.del('a');
    expect(vm.client.deleted).toEqual(['a']);
    expect(await vm.peripherals()).toContain('a');
  });
});

describe('the VM and its guest', () => {
  it('is killed before a command runs', async () => {
    const vm = await on('vm-killed-before-run');
    await sendAndSettle(vm);
    expect([vm.client.closed, vm.world.vm().alive]).toEqual([true, false]);
    expect(vm.world.vm().machine.find('a')).toBeUndefined();
  });

  it('is killed after a command ran, and the kernel takes the device back', async () => {
    const vm = await on('vm-killed-after-run');
    await vm.client.sendCommand('device_add', { ...ADD, driver: 'vfio-pci', host: GPU });
    await vm.advance(5_000);
    expect([vm.client.closed, vm.world.vm().alive]).toEqual([true, false]);
    expect(vm.world.kernel.find(GPU)?.openedBy).toBeUndefined();
  });

  it('gives a device back right after taking it', async () => {
    const vm = await withFault({ fault: 'guest-ejects', at: { device: 'a' } });
    await vm.add('a', 'rp0');
    await vm.untilDeleted('a');
  });

  it('finds the device busy, or gone, once', async () => {
    for (const [fault, text] of [
      ['open-busy', 'error getting device from group 7: Device or resource busy'],
      ['open-gone', 'error getting device from group 7: No such device'],
    ] as const) {
      const vm = await withFault({ fault });
      const args = { ...ADD, driver: 'vfio-pci', host: GPU };
      expect(await vm.refusal('device_add', args)).toBe(`vfio ${GPU}: ${text}`);
      await vm.value('device_add', args);
    }
  });

  it('keeps the host device busy for a while after its event', async () => {
    const vm = await withFault({ fault: 'slow-release' });
    await vm.value('device_add', { ...ADD, driver: 'vfio-pci', host: GPU });
    await vm.advance(100);
    await vm.del('a');
    await vm.untilDeleted('a');
    expect(vm.world.kernel.vfio.ownerOf(7)).toBeDefined();
    await vm.advance(1_000);
    expect(vm.world.kernel.vfio.ownerOf(7)).toBeUndefined();
  });
});

describe('host effects', () => {
  const OVERRIDE = `/sys/bus/pci/devices/${GPU}/driver_override`;

  it('fail with the errno asked for', async () => {
    const vm = await withFault({ fault: 'write-fails', at: { path: OVERRIDE }, errno: 'ENOSPC' });
    const { effects } = vm.world.startController();
    const write = effects.write(OVERRIDE, 'x');
    await expect(vm.world.run(write)).rejects.toMatchObject({ errno: 'ENOSPC', path: OVERRIDE });
    await vm.world.run(effects.write(OVERRIDE, 'x'));
    vm.world.faults.add({ fault: 'read-fails', at: { path: /driver_override$/ } });
    await expect(vm.world.run(effects.read(OVERRIDE))).rejects.toMatchObject({ errno: 'EIO' });
  });

  it('hang until the deadline', async () => {
    const vm = await withFault({ fault: 'write-hangs' });
    const { effects } = vm.world.startController();
    const startMs = vm.nowMs;
    const write = effects.write(OVERRIDE, 'x', { deadlineMs: 3_000 });
    await expect(vm.world.run(write)).rejects.toMatchObject({ errno: 'ETIMEDOUT', stuck: true });
    expect(vm.nowMs - startMs).toBe(3_000);
  });

  it('find that the device has just vanished', async () => {
    const vm = await withFault({ fault: 'device-vanishes' });
    const { effects } = vm.world.startController();
    const bind = effects.write('/sys/bus/pci/drivers/vfio-pci/bind', GPU);
    await expect(vm.world.run(bind)).rejects.toMatchObject({ errno: 'ENODEV' });
    const vendor = effects.read(`/sys/bus/pci/devices/${GPU}/vendor`);
    await expect(vm.world.run(vendor)).rejects.toMatchObject({ errno: 'ENOENT' });
  });
});

describe('Faults', () => {
  const make = (config: ConstructorParameters<typeof Faults>[0], seed = 1) => {
    const trace = new Trace(new VirtualClock());
    return { trace, faults: new Faults(config, new Random(seed), trace) };
  };

  it('passes some occasions unharmed and strikes as often as told', () => {
    const { faults } = make({ rules: [{ fault: 'read-fails', skip: 2, times: 2 }] });
    const struck = Array.from({ length: 6 }, () => faults.draw('read', {})?.name);
    expect(struck).toEqual([
      undefined,
      undefined,
      'read-fails',
      'read-fails',
      undefined,
      undefined,
    ]);
  });

  it('strikes only where every member matches', () => {
    const { faults } = make({
      rules: [{ fault: 'late-run', at: { command: 'device_add', device: /^gpu/ }, times: 9 }],
    });
    expect(faults.draw('run', { command: 'device_add', device: 'nic' })).toBeUndefined();
    expect(faults.draw('run', { command: 'device_add' })).toBeUndefined();
    expect(faults.draw('run', { command: 'device_add', device: 'gpu0' })?.name).toBe('late-run');
    expect(faults.draw('reply', { command: 'device_add', device: 'gpu0' })).toBeUndefined();
  });

  it('strikes by chance as the seed has it, within its limit, and can be stopped', () => {
    const draw = (seed: number) => {
      const { faults } = make({ random: { probability: 0.3, limit: 5 } }, seed);
      for (let count = 0; count < 200; count++) faults.draw('reply', {});
      return faults.struck;
    };
    expect(draw(7)).toEqual(draw(7));
    expect(draw(7)).toHaveLength(5);
    expect(draw(8)).not.toEqual(draw(7));
    const { faults } = make({ random: { probability: 1 } });
    faults.stop();
    expect(faults.draw('read', {})).toBeUndefined();
  });

  it('strikes only with the names it may', () => {
    const { faults } = make({ random: { probability: 1, only: ['late-reply'] } });
    expect(faults.draw('run', {})).toBeUndefined();
    expect(faults.draw('reply', {})?.name).toBe('late-reply');
  });

  it('writes every fault into the trace, with its place', () => {
    const { faults, trace } = make({ rules: [{ fault: 'drop-event' }] });
    faults.draw('event', { vm: 'vm0', event: 'STOP', device: undefined });
    expect(trace.toString()).toBe('       0.0 fault: drop-event vm=vm0 event=STOP');
  });

  it('has every name at one place only', () => {
    const names = Object.values(FAULTS).flat();
    expect(new Set(names).size).toBe(names.length);
  });
});
