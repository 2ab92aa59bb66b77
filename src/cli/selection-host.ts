import type { SelectionHost } from '../index.js';
import type { CommandContext } from './command-context.js';

/** What selectors are resolved with on this host. */
export function selectionHost({ environment, settings }: CommandContext): SelectionHost {
  const { effects, runtime } = environment;
  const { pciIds } = settings;
  return { effects, runtime, pciIds: pciIds === undefined ? undefined : [pciIds] };
}
