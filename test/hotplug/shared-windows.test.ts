import { expect, it } from 'vitest';
import type { Vm } from '../../src/index.js';
import { createWorld, GUESTS, type World } from '../../src/simulator/index.js';
import { ADDRESS, openSimulatedVm, runTask } from './simulated.js';

const MIB = 1 << 20;

/** A VM with one conventional bridge; its slots share a prefetchable window of 2 MiB. */
const worldWithBridge = () =>
  createWorld({
    seed: 1,
    guest: GUESTS.linux,
    qemu: {
      hotplug: 'acpi',
      monitors: [ADDRESS],
      devices: [{ driver: 'pci-bridge', id: 'br0', bus: 'pcie.0', addr: '0x4', chassis_nr: 1 }],
    },
  });

function operate<T>(world: World, work: (vm: Vm) => Promise<T>): Promise<T> {
  const process = world.startController();
  return runTask(world, process, async () => {
    await using vm = await openSimulatedVm(process);
    return await work(vm);
  });
}

const withBar = (id: string, mib: number) => ({
  id,
  emulate: { driver: 'pci-testdev', membar: mib * MIB },
  wait: 'placed' as const,
});

it('tells of one that its neighbours left no room, where the look was older than they are', async () => {
  const world = worldWithBridge();
  await operate(world, async (vm) => {
    await vm.attach(withBar('a', 2));
    const { emulate, id } = withBar('b', 2);
    const { warnings } = await vm.attach({ emulate, id });
    expect(warnings).toMatchObject([
      { code: 'no-window', message: expect.stringContaining('beside') as unknown },
    ]);
  });
});

it('judges a slot of a bridge by what its neighbours leave of the windows', async () => {
  const world = worldWithBridge();
  const attach = (id: string, mib: number) => operate(world, (vm) => vm.attach(withBar(id, mib)));
  const beside = { code: 'NO_WINDOW', message: expect.stringContaining('beside') as unknown };
  await attach('a', 1);
  await expect(attach('b', 2)).rejects.toMatchObject(beside);
  await attach('b', 1);
  await expect(attach('c', 1)).rejects.toMatchObject(beside);
  await operate(world, (vm) => vm.detach('a'));
  await attach('c', 1);
  expect(['a', 'b', 'c'].map((id) => world.vm().machine.find(id) !== undefined)).toEqual([
    false,
    true,
    true,
  ]);
});
