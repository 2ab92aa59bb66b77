import type { VfSettings } from '../../host/effects.js';
import type { StepHandler } from '../../engine/index.js';
import { createVfs, recordVfs, removeVfs, restoreVfs, type VfRecord } from '../../host/sriov.js';
import { changeBack, changeVf, openChange, readVfSettings } from '../../host/vf-settings.js';
import type { CreateVfs, RemoveVfs, SetVf } from '../../plan/steps.js';
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

/** Sets up one VF; what it changed goes back where what follows fails. */
export const setVfStep: StepHandler<SetVf, StepContext, VfSettings | null> = {
  prepare: async ({ netdev, index }, { host }) =>
    (await readVfSettings(host, netdev, index)) ?? null,
  async do({ netdev, index, change }, { host }) {
    await changeVf(host, { netdev, index }, change);
  },
  async undo({ netdev, index, change }, { host }, record) {
    if (record === undefined || record === null) return;
    // With its PF's number of VFs taken back first there is nothing left to set.
    if ((await readVfSettings(host, netdev, index)) === undefined) return;
    await changeVf(host, { netdev, index }, changeBack(record, change));
  },
  async probe({ netdev, index, change }, { host }) {
    try {
      const now = await readVfSettings(host, netdev, index);
      const isOpen = now === undefined || Object.keys(openChange(now, change)).length > 0;
      return isOpen ? 'absent' : 'present';
    } catch {
      return 'unreadable';
    }
  },
};
