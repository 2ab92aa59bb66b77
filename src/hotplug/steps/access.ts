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
  highestLimit,
  pinnedByOthers,
  planMemlock,
  raiseMemlock,
  restoreMemlock,
  type MemlockRecord,
} from '../../host/memlock.js';
import type { HotplugProgress } from '../../plan/attachment.js';
import type { GrantAccess, RevokeAccess } from '../../plan/steps.js';
import { groupKey } from '../../plan/checks.js';
import type { StepContext } from '../context.js';
import { requireCdevNode } from '../pass-node.js';
import { deviceIds } from '../presence.js';
import { watchRemoval } from '../watch-removal.js';
import { whyOpen } from '../why-open.js';

/** What GrantAccess found and is about to change, as the journal keeps it. */
interface GrantRecord {
  /** The group's node; absent on the other routes. */
  readonly node?: AccessRecord;
  /** Nodes of single devices. */
  readonly cdevs?: readonly AccessRecord[];
  /** The limit that this step raises; null where it is high enough. */
  readonly raise: MemlockRecord | null;
  /** What brings the limit back to where it was before the VM's first host device; null if untouched. */
  readonly limit: MemlockRecord | null;
}

/** Lets QEMU's user open the group node, and QEMU lock the guest's memory. */
export const grantAccess: StepHandler<GrantAccess, StepContext, GrantRecord> = {
  async check({ qemuPid, route = 'group' }, { host }) {
    if (route === 'group') await requireContainer(host, await readCredentials(host, qemuPid));
  },
  async prepare(step, context) {
    const { host } = context;
    const { qemuPid, memlockBytes } = step;
    const nodes = await recordNodes(step, host);
    const raise =
      memlockBytes === undefined
        ? undefined
        : await planMemlock(host, qemuPid, await lockedBytes(step, memlockBytes, host));
    const earlier = await earlierLimit(context);
    const latest = raise ?? earlier;
    const limit = latest && { ...latest, before: (earlier ?? latest).before };
    return { ...nodes, raise: raise ?? null, limit: limit ?? null };
  },
  async do({ qemuPid }, { host }, record) {
    if (record === undefined) return;
    const who = await readCredentials(host, qemuPid);
    for (const { node } of nodesOf(record)) await grantNode(host, node, who);
    if (record.raise !== null) await raiseMemlock(host, record.raise);
  },
  async undo({ group }, context, record) {
    if (record === undefined) return;
    const why = await whyHeldByThis(group, context);
    if (why !== undefined) return { waiting: why };
    const { host } = context;
    if (record.raise !== null) await restoreMemlock(host, record.raise);
    for (const node of nodesOf(record)) await restoreAccess(host, node);
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
  async do({ planId, record }, context) {
    const { limit, ...nodes } = record as GrantRecord;
    for (const node of nodesOf(nodes)) await restoreAccess(context.host, node);
    if (limit !== null) await lowerLimit(limit, planId, context);
  },
  async probe() {
    return 'absent';
  },
};

/** Whatever QEMU is to open on its route. */
async function recordNodes(
  { group, route = 'group', devices = [] }: GrantAccess,
  host: StepContext['host'],
): Promise<Pick<GrantRecord, 'node' | 'cdevs'>> {
  switch (route) {
    case 'group':
      return { node: await recordAccess(host, `/dev/vfio/${group}`) };
    case 'iommufd': {
      const nodes = await Promise.all(devices.map((device) => requireCdevNode(host, device)));
      return { cdevs: await Promise.all(nodes.map((node) => recordAccess(host, node))) };
    }
    case 'descriptors':
      return {};
  }
}

function nodesOf({ node, cdevs = [] }: Pick<GrantRecord, 'node' | 'cdevs'>) {
  return node === undefined ? cdevs : [node, ...cdevs];
}

/** A group's container counts per process, iommufd per user: then the limit has to bear what the others pinned. */
async function lockedBytes(
  { route = 'group', qemuPid }: GrantAccess,
  ownBytes: number,
  host: StepContext['host'],
): Promise<bigint> {
  const others = route === 'group' ? 0n : await pinnedByOthers(host, qemuPid);
  return BigInt(ownBytes) + others;
}

/** What an attach of this VM has made of QEMU's limit, whether it is over or not. */
interface RaisedLimit {
  readonly planId: string;
  readonly limit: MemlockRecord;
  /** Of the devices it is for. */
  readonly ids: readonly string[];
}

async function raisedLimits({ journal, vm }: StepContext): Promise<readonly RaisedLimit[]> {
  const entries = await journal.listOf(vm.key);
  return entries.flatMap(({ progress }) => {
    const { plan, steps } = progress as HotplugProgress;
    if (plan.kind !== 'attach') return [];
    const ids = plan.steps.flatMap((step) => (step.kind === 'AddDevice' ? [step.id] : []));
    return plan.steps.flatMap((step, index) => {
      const record = steps[index]?.record as GrantRecord | undefined;
      if (step.kind !== 'GrantAccess' || !record?.limit) return [];
      return [{ planId: plan.id, limit: record.limit, ids }];
    });
  });
}

/** The limit record of an attach of this VM, which knows where the limit was before any of them. */
async function earlierLimit(context: StepContext): Promise<MemlockRecord | undefined> {
  return (await raisedLimits(context))[0]?.limit;
}

/**
 * Lowers the limit to what those who stay have raised it to, or, with the last one, to where it was at first. Only now
 * can be told who stays: removals end in any order.
 */
async function lowerLimit(
  limit: MemlockRecord,
  planId: string,
  context: StepContext,
): Promise<void> {
  const others = (await raisedLimits(context)).filter((other) => other.planId !== planId);
  const inside = others.length > 0 ? await deviceIds(context.vm) : new Set();
  const staying = others.filter(({ ids }) => ids.some((id) => inside.has(id)));
  const needed = highestLimit(staying.map((other) => other.limit.raised));
  await restoreMemlock(context.host, { ...limit, before: needed ?? limit.before });
}
