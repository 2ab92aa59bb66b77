import type { StepHandler } from '../../engine/index.js';
import {
  grantAccess as grantNode,
  recordAccess,
  requireContainer,
  restoreAccess,
  type AccessRecord,
} from '../../host/access.js';
import { readCredentials } from '../../host/credentials.js';
import {
  planMemlock,
  raiseMemlock,
  restoreMemlock,
  type MemlockRecord,
} from '../../host/memlock.js';
import { attachmentOf, type HotplugProgress } from '../../plan/attachment.js';
import type { GrantAccess, RevokeAccess } from '../../plan/steps.js';
import { groupKey } from '../../plan/checks.js';
import type { StepContext } from '../context.js';
import { watchRemoval } from '../watch-removal.js';
import { whyOpen } from '../why-open.js';

/** What GrantAccess found and is about to change, as the journal keeps it. */
interface GrantRecord {
  readonly node: AccessRecord;
  /** The limit that this step raises; null where it is high enough. */
  readonly raise: MemlockRecord | null;
  /** What brings the limit back to where it was before the VM's first host device; null if untouched. */
  readonly limit: MemlockRecord | null;
}

/** Lets QEMU's user open the group node, and QEMU lock the guest's memory. */
export const grantAccess: StepHandler<GrantAccess, StepContext, GrantRecord> = {
  async check({ qemuPid }, { host }) {
    await requireContainer(host, await readCredentials(host, qemuPid));
  },
  async prepare({ group, qemuPid, memlockBytes }, context) {
    const { host } = context;
    const node = await recordAccess(host, `/dev/vfio/${group}`);
    const raise =
      memlockBytes === undefined
        ? undefined
        : await planMemlock(host, qemuPid, BigInt(memlockBytes));
    const earlier = await earlierLimit(context);
    const latest = raise ?? earlier;
    const limit = latest && { ...latest, before: (earlier ?? latest).before };
    return { node, raise: raise ?? null, limit: limit ?? null };
  },
  async do({ qemuPid }, { host }, record) {
    if (record === undefined) return;
    await grantNode(host, record.node.node, await readCredentials(host, qemuPid));
    if (record.raise !== null) await raiseMemlock(host, record.raise);
  },
  async undo({ group }, context, record) {
    if (record === undefined) return;
    const why = await whyHeldByThis(group, context);
    if (why !== undefined) return { waiting: why };
    const { host } = context;
    if (record.raise !== null) await restoreMemlock(host, record.raise);
    await restoreAccess(host, record.node);
  },
  async probe() {
    // Nothing depends on it: `device_add` says at once when QEMU cannot open the node.
    return 'absent';
  },
  undoIsIndependent: true,
  /** Only an undo waits. */
  wait: ({ group }, context, signal) =>
    watchRemoval({
      context,
      signal,
      ids: [],
      atMostMs: Infinity,
      isOver: async () => (await whyHeldByThis(group, context)) === undefined,
    }),
};

/**
 * Why what the attach put in is not closed yet; undefined too where another attachment keeps the group open
 * for longer, or nothing can be told: whatever needs it closed says so.
 */
async function whyHeldByThis(group: number, context: StepContext): Promise<string | undefined> {
  const holder = await context.reservations.read(groupKey(group));
  if ((holder?.planIds.length ?? 0) > 1) return undefined;
  const why = await whyOpen(group, context);
  return why.known ? why.value : undefined;
}

/** Takes back what GrantAccess gave. */
export const revokeAccess: StepHandler<RevokeAccess, StepContext> = {
  async do({ record, restoreLimit }, { host }) {
    const { node, limit } = record as GrantRecord;
    await restoreAccess(host, node);
    if (restoreLimit && limit !== null) await restoreMemlock(host, limit);
  },
  async probe() {
    return 'absent';
  },
};

/** The limit record of another attachment of this VM, whose raise is still in force. */
async function earlierLimit({ journal, vm }: StepContext): Promise<MemlockRecord | undefined> {
  const entries = await journal.list();
  for (const { progress } of entries) {
    if (progress.plan.scope !== vm.key) continue;
    const attachment = attachmentOf(progress as HotplugProgress);
    for (const { record } of attachment?.grants ?? []) {
      const { limit } = record as GrantRecord;
      if (limit !== null) return limit;
    }
  }
  return undefined;
}
