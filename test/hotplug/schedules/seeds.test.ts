import { describe, expect, it } from 'vitest';
import { runSchedule } from './run-schedule.js';
import { SEEDS } from './seeds.js';

describe('schedules that once failed', () => {
  it.each(SEEDS)('$found', async ({ schedule }) => {
    await expect(runSchedule(schedule)).resolves.toBeUndefined();
  });
});
