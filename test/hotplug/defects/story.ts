import type { Action, Command, Target } from '../schedules/schedule.js';

/** A command of a story: by a process of its own that nobody kills, into the first VM. */
export function command(
  kind: Command['kind'],
  target: Target,
  change: Partial<Command> = {},
): Command {
  return {
    kind,
    vm: 0,
    target,
    members: 'slot',
    waits: true,
    timeoutMs: 15_000,
    abortAfterMs: undefined,
    killAt: undefined,
    by: 'process',
    afterMs: 0,
    ...change,
  };
}

/** Commands one after the other. */
export function oneByOne(...actions: readonly Action[]): readonly (readonly Action[])[] {
  return actions.map((action) => [action]);
}
