import type { HotplugResult } from './settle.js';

/** Something attached that left the VM although nobody asked for it, and what has become of it. */
export interface Departure {
  /** The functions that left, by their ids in the VM. */
  readonly ids: readonly string[];
  /**
   * `released`: the host has it back as it was; `unplugged`: gone, and nothing of the host was in it;
   * `pending`: QEMU still has it open, and a later command goes on; `unknown`: run recover.
   */
  readonly state: 'released' | 'unplugged' | 'pending' | 'unknown';
  /** Why it is not over yet. */
  readonly reason: string | undefined;
  /** The attach plan that had put it in. */
  readonly planId: string | undefined;
}

/** What a plan that gives back what left has come to. */
export function departureOf(result: HotplugResult): Departure {
  const { plan } = result.progress;
  const { subject } = plan;
  const ids = plan.steps.flatMap((step) => (step.kind === 'AwaitRemoval' ? step.ids : []));
  const planId = subject.kind === 'detach' ? subject.attachment : undefined;
  const ofHost = plan.steps.some((step) => step.kind === 'ReleaseGroup');
  switch (result.kind) {
    case 'done':
      return { ids, state: ofHost ? 'released' : 'unplugged', reason: undefined, planId };
    case 'waiting':
      return { ids, state: 'pending', reason: result.reason, planId };
    default:
      return { ids, state: 'unknown', reason: String(result.cause), planId };
  }
}
