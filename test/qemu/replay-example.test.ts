import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '../..');
const EXAMPLE = join(ROOT, 'examples/replay-in-ci');
// Runners pass their own settings on to their children.
const env = { PATH: process.env.PATH, HOME: process.env.HOME };

// The example uses the package as others do: what is built of it.
it("replays in Node's own test runner", async () => {
  const file = join(EXAMPLE, 'node.test.mjs');
  const { stdout } = await run(process.execPath, ['--test', '--test-reporter=tap', file], { env });
  expect(stdout).toMatch(/^# pass 2$/m);
});

it('replays in vitest', async () => {
  const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs');
  const args = [vitest, 'run', '--root', EXAMPLE, '--reporter=json'];
  const { stdout } = await run(process.execPath, args, { env });
  expect(JSON.parse(stdout)).toMatchObject({ numPassedTests: 2, success: true });
});
