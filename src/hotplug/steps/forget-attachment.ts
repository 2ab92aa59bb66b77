import type { StepHandler } from '../../engine/index.js';
import type { ForgetAttachment } from '../../plan/steps.js';
import type { StepContext } from '../context.js';

/** Removes the attach plan from the journal: the last thing that was left of it. */
export const forgetAttachment: StepHandler<ForgetAttachment, StepContext> = {
  async do({ planId }, { journal }) {
    await journal.forget(planId);
  },
  async probe({ planId }, { journal }) {
    return (await journal.read(planId)) === undefined ? 'present' : 'absent';
  },
};
