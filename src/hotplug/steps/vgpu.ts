import type { StepHandler } from '../../engine/index.js';
import { readVgpu, setVgpuType } from '../../host/vgpu.js';
import type { SetVgpuType } from '../../plan/steps.js';
import type { StepContext } from '../context.js';

/** Makes a VF a vGPU, or none; it becomes again what it was where what follows fails. */
export const setVgpuTypeStep: StepHandler<SetVgpuType, StepContext, { readonly before: string }> = {
  prepare: async ({ bdf }, { host }) => ({
    before: (await readVgpu(host, bdf))?.current ?? '0',
  }),
  async do({ bdf, type }, { host }) {
    await setVgpuType(host, bdf, type);
  },
  async undo({ bdf }, { host }, record) {
    if (record !== undefined) await setVgpuType(host, bdf, record.before);
  },
  async probe({ bdf, type }, { host }) {
    try {
      return (await readVgpu(host, bdf))?.current === type ? 'present' : 'absent';
    } catch {
      return 'unreadable';
    }
  },
};
