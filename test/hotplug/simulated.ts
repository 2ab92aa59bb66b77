import { openVm, type Environment, type Vm } from '../../src/index.js';
import type { Boundary } from '../../src/engine/index.js';
import { createLiveness } from '../../src/host/index.js';
import { silentLogger } from '../../src/logger.js';
import {
  createWorld,
  gpuFunction,
  audioFunction,
  rootPorts,
  type ControllerProcess,
  type FunctionConfig,
  type World,
  type WorldConfig,
} from '../../src/simulator/index.js';
import { identifyVm } from '../../src/vm/identity.js';

export const ADDRESS = 'unix:/run/vm0.sock';
export const SECOND_ADDRESS = 'unix:/run/vm0-2.sock';
export const ACCELERATOR = '0000:05:00.0';
export const GPU = '0000:3b:00.0';
export const AUDIO = '0000:3b:00.1';

/** An accelerator alone in its group, and a GPU with its audio function in one group and slot. */
export const HOST_FUNCTIONS: readonly FunctionConfig[] = [
  {
    bdf: ACCELERATOR,
    group: 5,
    vendorId: 0x1da3,
    deviceId: 0x1000,
    classCode: 0x120000,
    nativeDriver: 'habanalabs',
    bars: [{ index: 0, kind: 'pref64', sizeBytes: 1n << 30n }],
    resetMethods: ['flr'],
  },
  gpuFunction({ bdf: GPU, group: 17 }),
  audioFunction({ bdf: AUDIO, group: 17 }),
];

/** A host with those devices and a VM with three ports large enough for them. */
export function createHostWorld({
  hotplug = 'acpi',
  ...config
}: WorldConfig & { readonly hotplug?: 'acpi' | 'native' }): World {
  return createWorld({
    host: { functions: HOST_FUNCTIONS },
    qemu: {
      hotplug,
      monitors: [ADDRESS, SECOND_ADDRESS],
      devices: rootPorts(3, {
        properties: { 'pref64-reserve': 128n << 30n, 'mem-reserve': 64n << 20n },
      }),
      firmware: { windowAlignment: 'natural' },
    },
    ...config,
  });
}

/** The environment of a simulated process. */
export function environmentOf(
  process: ControllerProcess,
  onBoundary?: (boundary: Boundary) => Promise<void> | void,
): Environment {
  return {
    effects: process.effects,
    liveness: createLiveness(process.effects, process.pid),
    state: process.store,
    runtime: process.store,
    clock: process.clock,
    logger: silentLogger,
    onBoundary,
  };
}

/** The real controller, as a simulated process runs it. */
export async function openSimulatedVm(
  process: ControllerProcess,
  address: string = ADDRESS,
  onBoundary?: (boundary: Boundary) => Promise<void> | void,
): Promise<Vm> {
  const identity = await identifyVm(address, process.effects);
  return openVm(address, {
    environment: environmentOf(process, onBoundary),
    transport: () => process.connect(address),
    identity,
  });
}

/** Runs a task of a process to its end, time jumping forward; its error is the test's. */
export async function runTask<T>(
  world: World,
  process: ControllerProcess,
  task: () => Promise<T>,
): Promise<T> {
  const outcome = await world.run(process.run(task));
  if (outcome.kind === 'done') return outcome.value;
  throw outcome.kind === 'failed' ? outcome.error : new Error('the process was killed');
}

/** Runs work on the VM in a process of its own, which then closes its session. */
export function onVm<T>(
  world: World,
  work: (vm: Vm) => Promise<T>,
  onBoundary?: (boundary: Boundary) => Promise<void> | void,
): Promise<T> {
  const process = world.startController();
  return runTask(world, process, async () => {
    await using vm = await openSimulatedVm(process, ADDRESS, onBoundary);
    return await work(vm);
  });
}

/**
 * Runs one operation on the VM as often as it has boundaries, each time in a fresh world with
 * its process killed at the next of them, and asks what a later command makes of it.
 *
 * @returns how many boundaries it has.
 */
export async function killAtEveryBoundary(
  start: () => Promise<World>,
  work: (vm: Vm) => Promise<unknown>,
  inspect: (world: World, kill: number) => Promise<void>,
): Promise<number> {
  let count = 0;
  await onVm(await start(), work, () => {
    count += 1;
  });
  for (let kill = 0; kill < count; kill += 1) {
    const world = await start();
    const doomed = world.startController();
    let seen = -1;
    const task = doomed.run(async () => {
      const vm = await openSimulatedVm(doomed, ADDRESS, () => {
        seen += 1;
        if (seen === kill) doomed.kill();
      });
      await work(vm);
    });
    await world.run(task);
    await inspect(world, kill);
  }
  return count;
}
