import { expect, it } from 'vitest';
import { statusOfRecovery } from '../../src/cli/commands/recover.js';
import type { RecoveryItem } from '../../src/index.js';
import { CliHome } from './run-cli.js';

const item = (outcome: RecoveryItem['outcome']): RecoveryItem => ({
  planId: 'p',
  kind: 'detach',
  vm: 'v',
  ids: ['dev0'],
  outcome,
  reason: undefined,
});

it.each([
  [[], 0],
  [['waiting'], 5],
  [['waiting', 'unknown'], 6],
  [['stopped'], 6],
] as const)('ends with open items %j in status %i', (outcomes, status) => {
  expect(statusOfRecovery({ open: outcomes.map(item) })).toBe(status);
});

it('finds nothing to do where nothing was done, with or without a VM that answers', async () => {
  using home = new CliHome();
  const nothing = { finished: [], undone: [], open: [] };
  expect(await home.json(['recover'])).toEqual({ status: 0, document: nothing, stderr: '' });
  const gone = await home.json(['recover', `${home.directory}/gone.sock`]);
  expect(gone).toMatchObject({ status: 0, document: nothing });
  expect(gone.stderr).toContain('gone.sock: there is no such socket');
  expect((await home.run(['recover'])).stdout).toBe('nothing to recover\n');
});
