import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';

const KILLS = 40;

/** The last line of the storm. */
interface Outcome {
  readonly killed: number;
  readonly before: number;
  readonly after: number;
  readonly violations: readonly string[];
}

it('SIGKILL at any moment of an attach or a detach leaves nothing that recover cannot mend', () => {
  const args = ['scripts/kill-storm.mjs', '--kills', String(KILLS)];
  const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  const [last = ''] = stdout.trim().split('\n').slice(-1);
  const outcome = JSON.parse(last) as Outcome;
  expect(outcome, stderr).toMatchObject({ killed: KILLS, violations: [] });
  expect(outcome.before).toBeGreaterThan(0);
  expect(outcome.after).toBeGreaterThan(0);
});
