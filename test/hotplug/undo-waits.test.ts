import { describe, expect, it } from 'vitest';
import type { AttachRequest, Vm } from '../../src/index.js';
import { GUESTS, type World } from '../../src/simulator/index.js';
import { resetMachine } from '../../src/simulator/qemu/hotplug.js';
import { ACCELERATOR, ADDRESS, createHostWorld, openSimulatedVm, runTask } from './simulated.js';

const AT_ONCE = { timeoutMs: 0 };

function operate<T>(world: World, work: (vm: Vm) => Promise<T>): Promise<T> {
  const process = world.startController();
  return runTask(world, process, async () => {
    await using vm = await openSimulatedVm(process);
    return await work(vm);
  });
}

/** Ends the process with the device in the VM and nothing said of it in the journal. */
async function attachKilled(world: World, request: AttachRequest) {
  const process = world.startController();
  await world.run(
    process.run(async () => {
      const vm = await openSimulatedVm(process, ADDRESS, ({ kind, at }) => {
        if (kind === 'AddDevice' && at === 'after-effect') process.kill();
      });
      await vm.attach(request);
    }),
  );
}

describe.each([
  {
    what: 'a host device',
    id: 'vfio_device_5_0',
    name: ACCELERATOR,
    request: { device: ACCELERATOR },
  },
  {
    what: 'an emulated device',
    id: 'd0',
    name: 'd0',
    request: { id: 'd0', emulate: { driver: 'pci-testdev' } },
  },
])('$what whose attach was killed, in a VM where nobody releases it', ({ id, name, request }) => {
  const begin = async () => {
    const world = createHostWorld({ seed: 1, guest: GUESTS.absent });
    const before = world.snapshot();
    await attachKilled(world, request);
    const { open } = await operate(world, (vm) => vm.recover(AT_ONCE));
    expect(open).toMatchObject([{ kind: 'attach', ids: [id], outcome: 'waiting' }]);
    return { world, before };
  };

  it('is neither attached nor a stranger: it is on its way out', async () => {
    const { world } = await begin();
    await expect(operate(world, (vm) => vm.attach(request, AT_ONCE))).rejects.toMatchObject({
      code: 'STILL_PENDING',
      details: { ids: [id] },
    });
    const status = await operate(world, (vm) => vm.inspect());
    expect(status).toMatchObject({ attachments: [], removals: [{ id, state: 'pending' }] });
    expect(status.ports.map(({ state }) => state)).toEqual(['pending', 'free', 'free']);
  });

  it('is waited for by a detach, which gives the host back', async () => {
    const { world, before } = await begin();
    expect(await operate(world, (vm) => vm.detach(name, AT_ONCE))).toMatchObject({
      removals: [{ id, state: 'pending' }],
      pending: expect.stringContaining(id) as unknown,
    });
    const detaching = operate(world, (vm) => vm.detach(name));
    await new Promise<void>((resolve) => world.clock.after(2_000, resolve));
    resetMachine(world.vm().machine, false);
    expect(await detaching).toMatchObject({ removals: [{ id }], pending: undefined });
    expect(world.snapshot()).toBe(before);
  });

  it('can be attached anew once it has left', async () => {
    const { world } = await begin();
    resetMachine(world.vm().machine, false);
    expect(await operate(world, (vm) => vm.recover())).toMatchObject({ open: [] });
    expect(await operate(world, (vm) => vm.attach(request))).toMatchObject({
      attachment: { already: false, functions: [{ id }] },
    });
  });
});
