import { Random, type QemuConfig } from '../../src/simulator/index.js';
import { BARRIER, realOptions, type Step } from './agreement.js';
import { inParts, RELEASE_OF, type Batch, type Compared } from './compare-machines.js';
import { peripherals } from './device-tree.js';
import { compareSteps, connectPair, type GuestPair } from './guest-pair.js';
import { bootGuest } from './qemu.js';
import type { PinnedSequence } from './pinned-sequences.js';
import { randomSteps } from './random-steps.js';

/** Sequences that are run before those of the seed. */
export interface GuestBatch extends Batch {
  readonly pinned: readonly PinnedSequence[];
}

/** Runs a batch beside a Linux guest, all sequences in one boot unless one cannot be undone. */
export async function compareWithGuest(batch: GuestBatch): Promise<Compared> {
  const { version, config, seed, length } = batch;
  const sequences = [
    ...batch.pinned,
    ...Array.from({ length: batch.sequences }, (_, index) => {
      const name = `${seed} sequence ${index}`;
      return { name, steps: randomSteps(new Random(name), length, { running: true }) };
    }),
  ];
  return inParts({ ...batch, sequences: sequences.length }, (from) =>
    withGuest(version, config, async (pair) => {
      const cold = await peripherals(pair.real);
      for (const [index, { name, steps }] of sequences.slice(from).entries()) {
        const difference = (await compareSteps(pair, steps)) ?? (await takeOut(pair, cold));
        const differences = difference === undefined ? [] : [`${name}: ${difference}`];
        if (differences.length > 0 || (await peripherals(pair.real)).length !== cold.length) {
          return { sequences: index + 1, differences };
        }
      }
      return { sequences: sequences.length - from, differences: [] };
    }),
  );
}

/** A real guest that has booted and the simulated one. */
async function withGuest<T>(
  version: Batch['version'],
  config: QemuConfig,
  use: (pair: GuestPair) => Promise<T>,
): Promise<T> {
  const whole: QemuConfig = { ...config, release: RELEASE_OF[version], guest: DRIVERLESS };
  await using guest = await bootGuest({ ...realOptions(whole, version), ...FRUGAL });
  return await use(await connectPair(guest, whole));
}

/** A guest is restarted often: what of it takes long and has nothing to do with PCI is left out. */
const FRUGAL = {
  cpu: 'qemu64',
  kernelArgs: [
    ...['cryptomgr.notests', 'rodata=off', 'apparmor=0', 'audit=0', 'ipv6.disable=1'],
    ...['nokaslr', 'no_timer_check', 'tsc=reliable', 'lab_watch=0.2'],
  ],
};

/** No driver of the lab's guest switches a BAR on; firmware does, at each start. */
const DRIVERLESS = { kind: 'linux', placesBars: false } as const;

/** Asks for everything that is still there, and where that is no use resets. */
async function takeOut(pair: GuestPair, cold: readonly string[]): Promise<string | undefined> {
  const ask = async (): Promise<readonly Step[]> => {
    const left = (await peripherals(pair.real)).filter((path) => !cold.includes(path));
    return left.map((id): Step => ['device_del', { id }]);
  };
  const rounds = [
    async (): Promise<readonly Step[]> => [['cont'], ...(await ask()), ...REMOVE_OBJECTS, BARRIER],
    ask,
    async (): Promise<readonly Step[]> => [['system_reset'], ...(await ask())],
  ];
  for (const [index, round] of rounds.entries()) {
    if (index > 0 && (await ask()).length === 0) return undefined;
    const difference = await compareSteps(pair, await round());
    if (difference !== undefined) return `taking everything out, ${difference}`;
  }
  return undefined;
}

const REMOVE_OBJECTS = ['r0', 'r1'].map((id): Step => ['object-del', { id }]);
