import type { StepHandler } from '../../engine/index.js';
import { createVfs, recordVfs, removeVfs, restoreVfs, type VfRecord } from '../../host/sriov.js';
import type { CreateVfs, RemoveVfs } from '../../plan/steps.js';
import type { StepContext } from '../context.js';

/** Makes virtual functions that no driver has taken. */
export const createVfsStep: StepHandler<CreateVfs, StepContext, VfRecord> = {
  prepare: ({ pf }, { host }) => recordVfs(host, pf),
  async do({ pf, count }, { host }, record) {
    await createVfs(host, record ?? (await recordVfs(host, pf)), count);
  },
  async undo(_step, { host }, record) {
    if (record !== undefined) await restoreVfs(host, record);
  },
  async probe({ pf, count }, { host }) {
    try {
      return (await recordVfs(host, pf)).count === count ? 'present' : 'absent';
    } catch {
      return 'unreadable';
    }
  },
};

/** Removes every virtual function; where what follows fails, as many come back as there were. */
export const removeVfsStep: StepHandler<RemoveVfs, StepContext, VfRecord> = {
  prepare: ({ pf }, { host }) => recordVfs(host, pf),
  async do({ pf }, { host }) {
    await removeVfs(host, pf);
  },
  async undo(_step, { host }, record) {
    if (record !== undefined) await restoreVfs(host, record);
  },
  async probe({ pf }, { host }) {
    try {
      return (await recordVfs(host, pf)).count === 0 ? 'present' : 'absent';
    } catch {
      return 'unreadable';
    }
  },
};
