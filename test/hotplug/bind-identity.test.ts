import fc from 'fast-check';
import { expect, it } from 'vitest';
import { HostControl, recoverHost, releaseFromQuarantine } from '../../src/index.js';
import { createWorld, type FunctionConfig, type World } from '../../src/simulator/index.js';
import { environmentOf } from './simulated.js';

const DRIVERS = ['nvidia', 'e1000e', 'pci-stub', 'vfio-pci', 'mlx5_vfio_pci'] as const;

/** One function in any state: with a driver that does not match its override, with an override of nothing. */
const anyFunction = fc.record({
  group: fc.integer({ min: 1, max: 3 }),
  nativeDriver: fc.option(fc.constantFrom('nvidia', 'e1000e'), { nil: undefined }),
  driver: fc.option(fc.constantFrom(...DRIVERS), { nil: null }),
  driverOverride: fc.option(fc.constantFrom(...DRIVERS, 'absent'), { nil: undefined }),
});

const anyHost = fc.record({
  seed: fc.nat(),
  functions: fc.array(anyFunction, { minLength: 1, maxLength: 4 }),
  chosen: fc.nat(3),
  wish: fc.constantFrom('auto', 'auto', 'vfio-pci', 'keep'),
  faults: fc.array(
    fc.record({
      fault: fc.constantFrom('write-fails', 'write-hangs'),
      skip: fc.nat(8),
      errno: fc.constantFrom('EIO', 'EBUSY', 'ENODEV'),
    }),
    { maxLength: 2 },
  ),
  killAt: fc.option(fc.integer({ min: 1, max: 200 }), { nil: undefined }),
});
type AnyHost = typeof anyHost extends fc.Arbitrary<infer H> ? H : never;

const address = (index: number) => `0000:0${index + 1}:00.0`;

function worldOf({ seed, functions, faults }: AnyHost): World {
  return createWorld({
    seed,
    host: {
      modules: ['mlx5_vfio_pci'],
      overrideTakesDeviceLock: seed % 2 === 0,
      functions: functions.map((fn, index): FunctionConfig => {
        const { group, driver, nativeDriver, driverOverride } = fn;
        return {
          bdf: address(index),
          vendorId: 0x8086,
          deviceId: index,
          classCode: 0x120000,
          group,
          driver,
          ...(nativeDriver === undefined ? {} : { nativeDriver }),
          ...(driverOverride === undefined ? {} : { driverOverride }),
        };
      }),
    },
    faults: { rules: faults.map((rule) => ({ ...rule, at: { operation: 'write' } })) },
  });
}

it('binding and releasing change nothing, from any state, whatever fails and whenever it is killed', async () => {
  const ends: Record<string, number> = {};
  await fc.assert(
    fc.asyncProperty(anyHost, async (host) => {
      const world = worldOf(host);
      const before = world.snapshot();
      const device = address(host.chosen % host.functions.length);
      const process = world.startController();
      if (host.killAt !== undefined) process.killAt(host.killAt);
      const control = new HostControl(environmentOf(process));
      const outcome = await world.run(
        process.run(() => control.bind({ devices: [device], members: 'group', driver: host.wish })),
      );
      ends[outcome.kind] = (ends[outcome.kind] ?? 0) + 1;
      process.kill();
      world.faults.stop();
      await giveBack(world, host);
      expect(world.snapshot()).toBe(before);
      expect(world.store.contents.filter(([name]) => !name.startsWith('locks/'))).toEqual([]);
    }),
    { numRuns: 300 },
  );
  // Each way out was taken.
  for (const kind of ['done', 'failed', 'killed']) expect(ends[kind] ?? 0).toBeGreaterThan(20);
}, 120_000);

/** What an operator does: lift the quarantines, recover, release. */
async function giveBack(world: World, { functions }: AnyHost): Promise<void> {
  const process = world.startController();
  const environment = environmentOf(process);
  const outcome = await world.run(
    process.run(async () => {
      for (const [index] of functions.entries()) {
        await releaseFromQuarantine(environment, address(index));
      }
      await recoverHost(environment);
      const control = new HostControl(environment);
      for (const [index] of functions.entries()) {
        await control.release({ devices: [address(index)] }).catch((error: unknown) => {
          // What somebody else had bound to VFIO before is not ours, and stays.
          if ((error as { code?: string }).code !== 'NOT_OURS') throw error;
        });
      }
    }),
  );
  if (outcome.kind === 'failed') throw outcome.error;
}
