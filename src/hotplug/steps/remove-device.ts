import type { StepHandler } from '../../engine/index.js';
import { CommandError } from '../../qmp/failures.js';
import type { RemoveDevice } from '../../plan/steps.js';
import type { StepContext } from '../context.js';
import { presenceOf } from '../presence.js';
import { LOOK_AGAIN_MS, watchRemoval } from '../watch-removal.js';

/** Asks the guest to release one port's slot. Whether it does is AwaitRemoval's business. */
export const removeDevice: StepHandler<RemoveDevice, StepContext> = {
  async do({ id, ids }, { vm, removals }) {
    if ((await presenceOf(vm, id)) === 'absent') return;
    const request = await removals.ask(id, ids);
    return request.kind === 'busy' ? { waiting: `${id}: ${request.why}` } : undefined;
  },

  /** The request leaves no trace that could be read: asking again is harmless and settles it. */
  async probe({ id, ids }, { removals }) {
    try {
      await removals.ask(id, ids);
      return 'present';
    } catch (error) {
      return error instanceof CommandError ? 'absent' : 'unreadable';
    }
  },

  wait: ({ id, ids }, context, signal) =>
    watchRemoval({
      context,
      signal,
      ids,
      atMostMs: LOOK_AGAIN_MS,
      isOver: async () => (await presenceOf(context.vm, id)) === 'absent',
    }),
};
