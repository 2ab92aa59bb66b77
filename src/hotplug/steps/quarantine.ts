import type { StepHandler } from '../../engine/index.js';
import type { QuarantineEntry } from '../../host/quarantine.js';
import type { LiftQuarantine } from '../../plan/steps.js';
import type { StepContext } from '../context.js';

/** Takes a device out of quarantine; it goes back where what follows fails. */
export const liftQuarantine: StepHandler<
  LiftQuarantine,
  StepContext,
  { readonly entry: QuarantineEntry | null }
> = {
  prepare: async ({ device }, { quarantine }) => ({
    entry: (await quarantine.read(device)) ?? null,
  }),
  async do({ device }, { quarantine }) {
    await quarantine.remove(device);
  },
  async undo(_step, { quarantine }, record) {
    if (record?.entry) await quarantine.add(record.entry);
  },
  async probe({ device }, { quarantine }) {
    return (await quarantine.read(device)) === undefined ? 'present' : 'absent';
  },
};
