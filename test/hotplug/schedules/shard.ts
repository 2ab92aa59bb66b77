import fc from 'fast-check';
import { it } from 'vitest';
import { runSchedule } from './run-schedule.js';
import { anySchedule } from './schedule.js';

/** Files that share the schedules, so that two processors have two of them at a time. */
const SHARD_COUNT = 4;
const DEFAULT_SCHEDULES = process.env['CI'] === 'true' ? 10_000 : 1_000;
const SCHEDULES = Number(process.env['QMPLUG_SCHEDULES'] ?? DEFAULT_SCHEDULES);
const MINUTES = Number(process.env['QMPLUG_SCHEDULE_MINUTES'] ?? 0);
const SEED = process.env['QMPLUG_SEED'];

/** How many schedules of `total` fall to a shard. */
function shareOf(total: number, shard: number): number {
  return Math.floor(total / SHARD_COUNT) + (shard < total % SHARD_COUNT ? 1 : 0);
}

/**
 * Runs one shard's schedules. Its seed is printed, and one that was given (QMPLUG_SEED) runs the same schedules
 * again; QMPLUG_SCHEDULES says how many there are in all (1,000, in CI 10,000),
 * QMPLUG_SCHEDULE_MINUTES how long instead.
 */
export function runShard(shard: number): void {
  const seed = (SEED === undefined ? Date.now() : Number(SEED)) % 0x7fff_ffff;
  const parameters =
    MINUTES > 0
      ? {
          numRuns: Number.MAX_SAFE_INTEGER,
          interruptAfterTimeLimit: MINUTES * 60_000,
          markInterruptAsFailure: false,
        }
      : { numRuns: shareOf(SCHEDULES, shard) };
  const what = MINUTES > 0 ? `${MINUTES} minutes` : `${parameters.numRuns} schedules`;
  const timeout = 3_600_000 + MINUTES * 60_000;
  it(`${what}, QMPLUG_SEED=${seed}`, { timeout }, async () => {
    const property = fc.asyncProperty(anySchedule, (schedule) => runSchedule(schedule));
    const { stackTraceLimit } = Error;
    // A schedule makes hundreds of errors, and a pinned seed shows where they come from.
    Error.stackTraceLimit = 0;
    try {
      // Every shard draws from a seed of its own.
      await fc.assert(property, { ...parameters, seed: seed + shard });
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
    }
  });
}
