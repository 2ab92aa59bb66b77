import type { StepHandler } from '../../engine/index.js';
import { queryStatus } from '../../qmp/commands.js';
import type { AwaitRemoval } from '../../plan/steps.js';
import type { StepContext } from '../context.js';
import { deviceIds, presenceOf } from '../presence.js';
import { LOOK_AGAIN_MS, watchRemoval } from '../watch-removal.js';
import { whyOpen } from '../why-open.js';

/**
 * The proof that devices are gone: none of the ids is in QEMU's device tree, and QEMU has closed the group
 * nodes. Until both are seen nothing is freed and no driver touched.
 */
export const awaitRemoval: StepHandler<AwaitRemoval, StepContext> = {
  async do(step, context) {
    const remains = await whatRemains(step, context);
    if (remains === undefined) {
      context.removals.forget(step.ids);
      return;
    }
    if (remains.kind === 'held') return { waiting: remains.why };
    await askAgain(step, context);
    const silent = await whyStill(step, context);
    return { waiting: silent === undefined ? remains.why : `${remains.why}; ${silent}` };
  },

  async probe({ ids }, { vm }) {
    const presences = await Promise.all(ids.map((id) => presenceOf(vm, id)));
    if (presences.includes('unreadable')) return 'unreadable';
    return presences.includes('present') ? 'absent' : 'present';
  },

  wait: (step, context, signal) =>
    watchRemoval({
      context,
      signal,
      ids: step.ids,
      atMostMs: nextAskMs(step, context),
      isOver: async () => (await whatRemains(step, context)) === undefined,
    }),
};

/** Asks whoever is still inside once more, where the last request may not have been heard. */
async function askAgain({ asks = [] }: AwaitRemoval, { vm, removals }: StepContext): Promise<void> {
  const due = asks.filter((id) => removals.dueMs(id) === 0);
  if (due.length === 0) return;
  const inside = await deviceIds(vm);
  for (const id of due) if (inside.has(id)) await removals.ask(id);
}

function nextAskMs({ asks = [] }: AwaitRemoval, { removals }: StepContext): number {
  const due = asks.map((id) => removals.dueMs(id));
  return Math.max(LOOK_AGAIN_MS, Math.min(Infinity, ...due));
}

/** Why a guest cannot answer, where that can be seen. */
async function whyStill(
  { asks = [] }: AwaitRemoval,
  { vm, removals }: StepContext,
): Promise<string | undefined> {
  if (await vm.isGone()) return undefined;
  const { running, status } = await queryStatus(await vm.session());
  if (!running) return `the VM is ${status}, so its guest cannot answer`;
  const refused = asks.filter((id) => removals.wasRefused(id));
  if (refused.length === 0) return undefined;
  return `QEMU refuses to ask for ${refused.join(', ')} again; the guest can still switch the slot off itself`;
}

/** What still speaks against "gone". */
interface Remains {
  /** `inside`: QEMU has the device; `held`: it has not let go of the host's part yet. */
  readonly kind: 'inside' | 'held';
  readonly why: string;
}

/** Undefined when nothing does. */
async function whatRemains(
  { ids, groups, cdevs = false }: AwaitRemoval,
  context: StepContext,
): Promise<Remains | undefined> {
  const inside = await deviceIds(context.vm);
  const staying = ids.filter((id) => inside.has(id));
  if (staying.length > 0) {
    return { kind: 'inside', why: `the guest has not released ${staying.join(', ')}` };
  }
  for (const group of groups) {
    const open = await whyOpen(group, context, { cdevs });
    const why = open.known ? open.value : open.reason;
    if (why !== undefined) return { kind: 'held', why };
  }
  return undefined;
}
