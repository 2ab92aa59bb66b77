import { describe, expect, it } from 'vitest';
import type { AttachRequest, Vm } from '../../src/index.js';
import type { JsonObject } from '../../src/json.js';
import type { GuestConfig, World } from '../../src/simulator/index.js';
import { createHostWorld, openSimulatedVm, runTask } from './simulated.js';

const EDU = { driver: 'edu' };
const RNG = { driver: 'virtio-rng-pci' };
const THREE: AttachRequest = { id: 'd0', emulate: [EDU, RNG, EDU] };
const IDS = ['d0', 'd0.1', 'd0.2'];
const PATIENCE = { timeoutMs: 60_000 };

function inWorld<T>(world: World, work: (vm: Vm) => Promise<T>): Promise<T> {
  const process = world.startController();
  return runTask(world, process, async () => {
    await using vm = await openSimulatedVm(process);
    return await work(vm);
  });
}

const idsIn = (world: World) =>
  world
    .vm()
    .machine.devices.filter(({ hotplugged }) => hotplugged)
    .map(({ id }) => id)
    .sort();

describe.each(['acpi', 'native'] as const)('the functions of a slot, %s', (hotplug) => {
  const world = (guest: GuestConfig) => createHostWorld({ seed: 7, hotplug, guest });

  it('come together, and all of them go with any one', async () => {
    for (const what of IDS) {
      const here = world({ kind: 'linux' });
      const { attachment } = await inWorld(here, (vm) =>
        vm.attach({ ...THREE, wait: 'placed' }, PATIENCE),
      );
      expect(attachment.functions.map(({ id, addr }) => [id, addr])).toEqual([
        ['d0.1', '0x0.1'],
        ['d0.2', '0x0.2'],
        ['d0', '0x0'],
      ]);
      expect([...here.vm().guest.deviceIds].sort()).toEqual(IDS);

      const planned = await inWorld(here, (vm) => vm.planDetach(what));
      expect(planned).toMatchObject({
        steps: [{ kind: 'RemoveDevice', id: 'd0', ids: ['d0.1', 'd0.2', 'd0'] }, {}, {}],
      });
      const { removals } = await inWorld(here, (vm) => vm.detach(what, PATIENCE));
      expect(removals.map(({ id, state }) => `${id} ${state}`).sort()).toEqual(
        IDS.map((id) => `${id} unplugged`),
      );
      expect(idsIn(here)).toEqual([]);
      expect(here.store.contents).toEqual([]);
    }
  });

  it('are there already, as asked', async () => {
    const here = world({ kind: 'linux' });
    await inWorld(here, (vm) => vm.attach(THREE, PATIENCE));
    const again = await inWorld(here, (vm) => vm.attach(THREE, PATIENCE));
    expect(again.attachment).toMatchObject({ already: true });
    expect(again.attachment.functions).toHaveLength(3);
  });

  it('are taken back together where function 0 does not come', async () => {
    const here = world({ kind: 'linux' });
    const broken: JsonObject = { driver: 'nvme' };
    const failing = inWorld(here, (vm) =>
      vm.attach({ id: 'd0', emulate: [broken, RNG, EDU] }, PATIENCE),
    );
    await expect(failing).rejects.toMatchObject({
      code: 'STEP_FAILED',
      steps: [{ outcome: 'undone' }, { outcome: 'undone' }, { outcome: 'undone' }],
    });
    expect(idsIn(here)).toEqual([]);
    expect(here.store.contents).toEqual([]);
  });

  it('show as what is in their port', async () => {
    const here = world({ kind: 'none' });
    await inWorld(here, (vm) => vm.attach(THREE, PATIENCE));
    const { ports } = await inWorld(here, (vm) => vm.status());
    expect(ports[0]).toMatchObject({ state: 'used' });
    expect([...(ports[0]?.occupants ?? [])].sort()).toEqual(IDS);
  });
});
