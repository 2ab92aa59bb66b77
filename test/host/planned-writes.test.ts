import { expect, it } from 'vitest';
import { bindToVfio } from '../../src/host/binding.js';
import type { HostEffects } from '../../src/host/effects.js';
import { planBinding } from '../../src/host/planned-writes.js';
import { toBdf } from '../../src/pci/pci-address.js';
import type { FunctionConfig } from '../../src/simulator/host/config.js';
import { nicFunction } from '../../src/simulator/presets.js';
import { createWorld } from '../../src/simulator/world.js';

const NIC = toBdf('0000:05:00.0');

function hostWith(function_: Partial<FunctionConfig>, loadedModules = ['vfio_pci']) {
  const nic = { ...nicFunction({ bdf: NIC, group: 7 }), ...function_ };
  const world = createWorld({ seed: 1, host: { functions: [nic], loadedModules } });
  const { effects } = world.startController();
  const written: { path: string; value: string }[] = [];
  const recording = Object.create(effects) as HostEffects;
  recording.write = (path, value, options) => {
    written.push({ path, value });
    return effects.write(path, value, options);
  };
  return { world, effects: recording, written };
}

it.each([
  ['a driver of its own', {}, 3],
  ['no driver', { driver: null }, 2],
  ['the override already', { driverOverride: 'vfio-pci' }, 2],
  ['vfio-pci already', { driver: 'vfio-pci' }, 0],
])('what is foretold of a function with %s is what is written', async (_, function_, count) => {
  const { world, effects, written } = hostWith(function_);
  const planned = await world.run(planBinding(effects, NIC));
  expect(written).toEqual([]);
  expect(planned).toMatchObject({ driver: 'vfio-pci', module: undefined });
  expect(planned.writes).toHaveLength(count);
  await world.run(bindToVfio(effects, NIC, planned.driver));
  expect(written).toEqual(planned.writes);
});

it('is of the driver that is asked for', async () => {
  const [held, plain] = ['acme_vfio_pci', 'vfio-pci'];
  const { world, effects } = hostWith({ driver: held, driverOverride: held }, [held, plain]);
  expect(await world.run(planBinding(effects, NIC, 'keep'))).toEqual({
    driver: held,
    module: undefined,
    writes: [],
  });
  const planned = await world.run(planBinding(effects, NIC, 'vfio-pci'));
  expect(planned.writes.map(({ value }) => value)).toEqual([plain, NIC, NIC]);
  const { world: other, effects: bare } = hostWith({});
  await expect(other.run(planBinding(bare, NIC, 'keep'))).rejects.toMatchObject({
    code: 'WRONG_DRIVER',
  });
});

it('tells of the module that has to come first', async () => {
  const { world, effects } = hostWith({}, []);
  const planned = await world.run(planBinding(effects, NIC));
  expect(planned).toMatchObject({ driver: 'vfio-pci', module: 'vfio_pci' });
  await world.run(bindToVfio(effects, NIC, planned.driver));
  expect(world.kernel.loadedModules).toContain('vfio_pci');
});
