import { describe, expect, it } from 'vitest';
import { compareBatch, RELEASE_OF } from '../support/compare-machines.js';
import { MOTLEY } from '../support/random-steps.js';

/** Batches for each version and mechanism; a long run sets more. */
const BATCHES = Number(process.env.LONG_AGREEMENT ?? 12);
const SEQUENCES = 10;
const LENGTH = 20;
/** QEMU mostly waits, for the grace period after a refusal. */
const AT_ONCE = 4;

const VERSIONS = Object.keys(RELEASE_OF) as (keyof typeof RELEASE_OF)[];
const MATRIX = VERSIONS.flatMap((version) =>
  (['acpi', 'native'] as const).map((hotplug) => [version, hotplug] as const),
);

describe.each(MATRIX)('QEMU %s with %s hot-plug and its simulation', (version, hotplug) => {
  it('answer, tell and become the same, whatever is asked', async () => {
    const config = { devices: MOTLEY, hotplug, startPaused: true };
    const seeds = Array.from({ length: BATCHES }, (_, index) => `${version} ${hotplug} ${index}`);
    console.log(`seeds: ${version} ${hotplug} 0 to ${BATCHES - 1}`);
    const differences: string[] = [];
    let compared = 0;
    const work = async () => {
      for (let seed = seeds.shift(); seed !== undefined; seed = seeds.shift()) {
        const batch = { version, config, seed, sequences: SEQUENCES, length: LENGTH };
        const result = await compareBatch(batch);
        compared += result.sequences;
        differences.push(...result.differences);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    console.log(`${compared} sequences of ${LENGTH} commands compared`);
    expect(differences).toEqual([]);
    expect(compared).toBe(BATCHES * SEQUENCES);
  });
});
