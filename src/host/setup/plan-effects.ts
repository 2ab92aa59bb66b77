import type { DriftState, SetupItem } from './plan-types.js';
import type { Effect } from './wants/index.js';

const THERE: ReadonlySet<DriftState> = new Set(['ok', 'foreign-ok', 'pending-reboot']);

/** Whether what is configured shows on the machine that runs. Pure. */
export function planEffects(
  effects: readonly Effect[],
  configured: readonly SetupItem[],
): readonly SetupItem[] {
  return effects.map((effect) => {
    const { item: id, subject, from, holds, otherwise, reason, remedy } = effect;
    if (holds) return { id, subject, state: 'ok' };
    const isConfigured = configured.every(
      (each) => !from.includes(each.id) || THERE.has(each.state),
    );
    return isConfigured
      ? { id, subject, state: otherwise, reason, remedy }
      : { id, subject, state: 'missing', reason };
  });
}
