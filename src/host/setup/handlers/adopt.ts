import type { StepHandler } from '../../../engine/index.js';
import { fingerprint } from '../file-state.js';
import type { Adopt } from '../steps.js';
import type { SetupContext } from './context.js';
import { modified } from './write-file.js';

/** Nothing but the journal changes: the step itself is the record of the ownership. */
export const adopt: StepHandler<Adopt, SetupContext> = {
  async check({ what }, { host }) {
    if (what.kind !== 'file') return;
    if (fingerprint(await host.readFile(what.path)) !== what.expect) {
      throw modified(what.path, 'since the plan was made');
    }
  },
  do: async () => undefined,
  probe: async () => 'present',
};
