import { describe, expect, it } from 'vitest';
import { RELEASE_OF } from '../support/compare-machines.js';
import { compareWithGuest } from '../support/guest-agreement.js';
import { PINNED } from '../support/pinned-sequences.js';
import { MOTLEY } from '../support/random-steps.js';

/** Batches for each version and mechanism, a boot each; a long run sets more and longer ones, and may begin later. */
const BATCHES = Number(process.env.GUEST_AGREEMENT ?? 1);
const FIRST = Number(process.env.GUEST_FIRST ?? 0);
const SEQUENCES = Number(process.env.GUEST_SEQUENCES ?? 2);
const LENGTH = 20;
/** A native guest mostly waits, for the five seconds of its button. */
const AT_ONCE = { acpi: 2, native: 5 };

const VERSIONS = Object.keys(RELEASE_OF) as (keyof typeof RELEASE_OF)[];
const MATRIX = VERSIONS.flatMap((version) =>
  (['acpi', 'native'] as const).map((hotplug) => [version, hotplug] as const),
);

describe('a Linux guest and the simulated one', () => {
  it.concurrent.each(MATRIX)('come to the same in QEMU %s with %s hot-plug', async (...row) => {
    const [version, hotplug] = row;
    const own = PINNED.filter((sequence) => sequence.hotplug.includes(hotplug));
    const batches = Array.from({ length: BATCHES }, (_, index) => ({
      version,
      config: { devices: MOTLEY, hotplug },
      seed: `guest ${version} ${hotplug} ${FIRST + index}`,
      sequences: SEQUENCES,
      length: LENGTH,
      pinned: FIRST + index === 0 ? own : [],
    }));
    const differences: string[] = [];
    let compared = 0;
    const work = async () => {
      for (let batch = batches.shift(); batch !== undefined; batch = batches.shift()) {
        const result = await compareWithGuest(batch);
        compared += result.sequences;
        differences.push(...result.differences);
        console.log(`${batch.seed}: ${result.sequences} sequences compared`);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE[hotplug] }, work));
    expect(differences).toEqual([]);
    expect(compared).toBe(BATCHES * SEQUENCES + (FIRST === 0 ? own.length : 0));
  });
});
