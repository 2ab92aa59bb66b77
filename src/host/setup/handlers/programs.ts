import type { StepHandler } from '../../../engine/index.js';
import { HostError } from '../../../errors.js';
import { excerpt } from '../../../text.js';
import type { SetupHost } from '../setup-host.js';
import type { Refresh, RunPair } from '../steps.js';
import type { SetupContext } from './context.js';

/** Runs a program that must end with status 0. @throws {HostError} `PROGRAM_FAILED` with what it said. */
export async function runOrFail(host: SetupHost, argv: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await host.run(argv);
  if (status === 0) return stdout;
  const said = excerpt((stderr || stdout).trim(), 2_000);
  throw new HostError('PROGRAM_FAILED', `${argv.join(' ')}: exit status ${status}: ${said}`, {
    remedy: `see what it needs: ${argv.join(' ')}`,
    details: { argv, status },
  });
}

export const refresh: StepHandler<Refresh, SetupContext> = {
  async do({ argv, turn }, { host }) {
    if (turn === 'do') await runOrFail(host, argv);
  },
  async undo({ argv, turn }, { host }) {
    if (turn === 'undo') await runOrFail(host, argv);
  },
  // Whether what is generated is current cannot be told; making it again is always right.
  probe: async () => 'absent',
  undoIsIndependent: true,
};

export const runPair: StepHandler<RunPair, SetupContext> = {
  do: (step, { host }) => bringTo(step.remove !== true, step, host),
  undo: (step, { host }) => bringTo(step.remove === true, step, host),
  async probe(step, { host }) {
    try {
      return (await isPresent(step, host)) === (step.remove !== true) ? 'present' : 'absent';
    } catch {
      return 'unreadable';
    }
  },
  undoIsIndependent: true,
};

async function bringTo(present: boolean, step: RunPair, host: SetupHost): Promise<void> {
  if ((await isPresent(step, host)) !== present)
    await runOrFail(host, present ? step.argv : step.inverse);
}

async function isPresent({ present }: RunPair, host: SetupHost): Promise<boolean> {
  const lines = (await runOrFail(host, present.argv)).split('\n');
  return lines.some((line) => line.trim() === present.line);
}
