import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runSchedule } from '../schedules/run-schedule.js';
import { anySchedule } from '../schedules/schedule.js';
import { Violation } from '../schedules/violation.js';
import { DEFECTS } from './index.js';

/** One seed for all, so that a defect is found in the same schedule each time. */
const SEED = 1;
const RUNS = 60;

describe('a planted defect', () => {
  it.each(DEFECTS)('is caught: $name', { timeout: 600_000 }, async (defect) => {
    const { where, caughtBy } = defect;
    const schedules = anySchedule.map((schedule) => ({ ...schedule, ...where }));
    const planted = fc.asyncProperty(schedules, (schedule) =>
      runSchedule(schedule, defect.plant()),
    );
    const found = await fc.check(planted, { seed: SEED, numRuns: RUNS });
    expect(found.errorInstance).toBeInstanceOf(Violation);
    expect(caughtBy).toContain((found.errorInstance as Violation).invariant);
    // It is the defect that was caught: without it the same schedules hold, the smallest among them.
    const own = fc.asyncProperty(schedules, (schedule) => runSchedule(schedule));
    await fc.assert(own, { seed: SEED, numRuns: found.numRuns });
    for (const schedule of found.counterexample ?? []) await runSchedule(schedule);
  });
});
