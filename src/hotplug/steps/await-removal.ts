import type { StepHandler } from '../../engine/index.js';
import { readGroupHolders } from '../../host/holders.js';
import type { AwaitRemoval } from '../../plan/steps.js';
import type { StepContext } from '../context.js';
import { deviceIds, presenceOf } from '../presence.js';
import { watchRemoval } from '../watch-removal.js';

/**
 * The proof that devices are gone: none of the ids is in QEMU's device tree, and nobody holds the group
 * nodes any more. Until both are seen nothing is freed and no driver touched.
 */
export const awaitRemoval: StepHandler<AwaitRemoval, StepContext> = {
  async do(step, context) {
    const waiting = await whatRemains(step, context);
    return waiting === undefined ? undefined : { waiting };
  },

  async probe({ ids }, { vm }) {
    const presences = await Promise.all(ids.map((id) => presenceOf(vm, id)));
    if (presences.includes('unreadable')) return 'unreadable';
    return presences.includes('present') ? 'absent' : 'present';
  },

  wait: (step, context, signal) =>
    watchRemoval({
      vm: context.vm,
      clock: context.clock,
      signal,
      ids: step.ids,
      isOver: async () => (await whatRemains(step, context)) === undefined,
    }),
};

/** What still speaks against "gone", in words; undefined when nothing does. */
async function whatRemains(
  { ids, groups }: AwaitRemoval,
  { vm, host }: StepContext,
): Promise<string | undefined> {
  const inside = await deviceIds(vm);
  const staying = ids.filter((id) => inside.has(id));
  if (staying.length > 0) return `the guest has not released ${staying.join(', ')}`;
  for (const group of groups) {
    const holders = await readGroupHolders(host, group);
    if (!holders.known) {
      return `whether IOMMU group ${group} is free cannot be told: ${holders.reason}`;
    }
    const [holder] = holders.value;
    if (holder !== undefined) return `${holder.node} is still open in process ${holder.pid}`;
  }
  return undefined;
}
