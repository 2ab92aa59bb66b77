import type { StepHandler } from '../../engine/index.js';
import { HostError } from '../../errors.js';
import type { HostEffects } from '../../host/effects.js';
import { createMdev, readMdev, removeMdev } from '../../host/mdev.js';
import type { CreateMdev, RemoveMdev } from '../../plan/steps.js';
import type { StepContext } from '../context.js';

/** Makes a mediated device; it is taken away again where what follows fails. */
export const createMdevStep: StepHandler<CreateMdev, StepContext> = {
  async do({ uuid, parent, type }, { host }) {
    await createMdev(host, { uuid, parent, type });
  },
  async undo({ uuid }, { host }) {
    await removeMdev(host, uuid);
  },
  /** It was there: somebody else's. */
  changedNothing: (cause) => cause instanceof HostError && cause.details['errno'] === 'EEXIST',
  probe: async ({ uuid }, { host }) => presence(host, uuid, 'present'),
};

/** Removes a mediated device. */
export const removeMdevStep: StepHandler<RemoveMdev, StepContext> = {
  async do({ uuid }, { host }) {
    await removeMdev(host, uuid);
  },
  probe: async ({ uuid }, { host }) => presence(host, uuid, 'absent'),
};

/** Whether the mdev is as the step wants it. */
async function presence(host: HostEffects, uuid: string, wanted: 'present' | 'absent') {
  try {
    const there = (await readMdev(host, uuid)) !== undefined;
    return there === (wanted === 'present') ? 'present' : 'absent';
  } catch {
    return 'unreadable';
  }
}
