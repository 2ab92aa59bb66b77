import type { StepHandler } from '../../engine/index.js';
import type { HotplugProgress } from '../../plan/attachment.js';
import { isKept } from '../../plan/plan-host.js';
import type { ForgetStep } from '../../plan/steps.js';
import type { StepContext } from '../context.js';

/** Marks a step of an earlier plan as taken back; a plan of which nothing is in force any more goes. */
export const forgetStep: StepHandler<ForgetStep, StepContext> = {
  async do({ planId, step }, { journal }) {
    if ((await journal.read(planId)) === undefined) return;
    await journal.append(planId, { step, turn: 'undo', state: 'done' });
    const left = await journal.read(planId);
    if (left !== undefined && !isKept(left.progress as HotplugProgress))
      await journal.forget(planId);
  },
  async probe({ planId, step }, { journal }) {
    const entry = await journal.read(planId);
    return entry?.progress.steps[step]?.backward === 'done' || entry === undefined
      ? 'present'
      : 'absent';
  },
};
