import type { StepHandler } from '../../engine/index.js';
import { isHeldBy, vfioNodes } from '../../host/holders.js';
import type { AwaitRemoval } from '../../plan/steps.js';
import type { StepContext } from '../context.js';
import { deviceIds, presenceOf } from '../presence.js';
import { watchRemoval } from '../watch-removal.js';

/**
 * The proof that devices are gone: none of the ids is in QEMU's device tree, and QEMU has closed the group
 * nodes. Until both are seen nothing is freed and no driver touched.
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
  // The kernel closes what a process that has ended had open.
  if (vm.identity.kind !== 'process' || (await vm.isGone())) return undefined;
  const { pid } = vm.identity;
  for (const node of groups.flatMap((group) => vfioNodes(group, []))) {
    const held = await isHeldBy(host, pid, node);
    if (!held.known) return `whether ${node} is closed cannot be told: ${held.reason}`;
    if (held.value) return `${node} is still open in QEMU, process ${pid}`;
  }
  return undefined;
}
