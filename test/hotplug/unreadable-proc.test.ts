import { expect, it } from 'vitest';
import type { Vm } from '../../src/index.js';
import { GUESTS, type World } from '../../src/simulator/index.js';
import { createHostWorld, openSimulatedVm, runTask } from './simulated.js';

const DEVICE = { emulate: { driver: 'pci-testdev' }, id: 'd0' };

function operate<T>(world: World, work: (vm: Vm) => Promise<T>): Promise<T> {
  const process = world.startController();
  return runTask(world, process, async () => {
    await using vm = await openSimulatedVm(process);
    return await work(vm);
  });
}

/** A VM that is known by its process to one and by its address to another has two records and two locks. */
it('knows one VM in every process, whichever look at /proc fails on the way', async () => {
  for (let skip = 0, struck = true; struck; skip += 1) {
    const world = createHostWorld({ seed: 1, guest: GUESTS.linux });
    world.faults.add({ fault: 'read-fails', at: { path: /^\/proc\// }, skip });
    await operate(world, (vm) => vm.attach(DEVICE)).catch(() => undefined);
    struck = world.faults.struck.length > 0;
    world.faults.stop();
    await operate(world, (vm) => vm.recover());
    const { attachments } = await operate(world, (vm) => vm.inspect());
    const ids = attachments.flatMap(({ functions }) => functions.map(({ id }) => id));
    expect({ skip, ids }).toEqual({ skip, ids: world.vm().machine.find('d0') ? ['d0'] : [] });
    await operate(world, (vm) => vm.detach('d0'));
    expect({ skip, plans: await world.store.list('plans') }).toEqual({ skip, plans: [] });
  }
});
