import type { SelectionHost } from '../index.js';
import type { CommandContext } from './command-context.js';

/** What selectors are resolved with on this host. */
export function selectionHost({ environment, settings }: CommandContext): SelectionHost {
  const { effects, runtime, answers } = environment;
  const { pciIds } = settings;
  return { effects, runtime, answers, pciIds: pciIds === undefined ? undefined : [pciIds] };
}
