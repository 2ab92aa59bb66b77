import type { StepHandler } from '../../../engine/index.js';
import { HostError } from '../../../errors.js';
import { invertChange, isChanged, type ArgumentChange } from '../argument-changes.js';
import { backendNamed, type CommandBackend } from '../kernel-arguments/index.js';
import type { SetupHost } from '../setup-host.js';
import type { SetArguments } from '../steps.js';
import type { SetupContext } from './context.js';
import { runOrFail } from './programs.js';

export const setArguments: StepHandler<SetArguments, SetupContext> = {
  async do(step, { host }) {
    await make(step.changes, step, host);
  },
  async undo(step, { host }) {
    await make(step.changes.map(invertChange).reverse(), step, host);
  },
  async probe(step, { host }) {
    try {
      const { words } = await commandBackend(step).read(host);
      const done = step.changes.filter((change) => isChanged(words, change));
      return done.length === 0 ? 'absent' : 'present';
    } catch {
      return 'unreadable';
    }
  },
  undoIsIndependent: true,
};

/** Makes those of the changes that are not made yet, and reads back that they are. */
async function make(
  changes: readonly ArgumentChange[],
  step: SetArguments,
  host: SetupHost,
): Promise<void> {
  const backend = commandBackend(step);
  const configured = await backend.read(host);
  const open = changes.filter((change) => !isChanged(configured.words, change));
  for (const argv of open.length === 0 ? [] : backend.commands(open, configured)) {
    await runOrFail(host, argv);
  }
  const after = await backend.read(host);
  const failed = changes.find((change) => !isChanged(after.words, change));
  if (failed === undefined) return;
  throw new HostError(
    'PROGRAM_FAILED',
    `${backend.name} did not take ${failed.op} ${failed.text}`,
    {
      remedy: `see what it has: ${backend.look.join(' ')}`,
      details: { backend: backend.name, change: failed },
    },
  );
}

function commandBackend({ backend }: SetArguments): CommandBackend {
  const found = backendNamed(backend);
  if (found?.kind === 'command') return found;
  throw new HostError('PROGRAM_FAILED', `${backend} does not change arguments by a program`);
}
