import { reportSteps } from '../engine/index.js';
import { findDetachTarget } from '../plan/plan-detach.js';
import type { Attachment, HotplugProgress } from '../plan/attachment.js';
import type { HotplugPlan, HotplugStep } from '../plan/steps.js';
import type { World } from '../plan/world.js';
import { UnplugRefusedError } from '../engine/step-errors.js';
import { presenceOf } from './presence.js';
import { readAttachments, RecoveryReport } from './reconcile.js';
import type { DetachOptions, DetachResult, RemovalReport } from './requests.js';
import { resolveTarget } from './resolve-target.js';
import { isTakenBack, type HotplugEntry, type PlanRunner } from './runner.js';
import { errorOf, type HotplugResult } from './settle.js';
import { NO_HOST, type VmSession } from './vm-session.js';

/** The steps that `detach` would run now; nothing is changed. */
export async function previewDetach(
  session: VmSession,
  what: string,
  options: DetachOptions,
): Promise<HotplugPlan | 'gone'> {
  const target = await resolveTarget(what, session.environment.effects, () =>
    session.namesInside(),
  );
  const world = await session.world(NO_HOST, await session.lastLook.renew());
  const plan = planFor(session.runner, target, world, new Set(options.allow));
  if (plan === undefined) return 'gone';
  await session.runner.check(plan);
  return plan;
}

/** Takes a device out and gives the host back, or joins the removal that is under way. */
export async function detach(
  session: VmSession,
  what: string,
  options: DetachOptions,
): Promise<DetachResult> {
  const { clock } = session.environment;
  const startedAt = clock.now();
  const patience = session.patience(options);
  const target = await resolveTarget(what, session.environment.effects, () =>
    session.namesInside(),
  );
  const first = await session.exclusively(patience, async () => {
    const before = await readAttachments(session.runner);
    const report = new RecoveryReport();
    const looked = await session.reconcile(report);
    const open = await openRemoval(session, target);
    // Going on with it asks the guest again where it may not have heard.
    if (open !== undefined) return session.runner.resume(open);
    const world = await session.world(NO_HOST, looked);
    const plan = planFor(session.runner, target, world, new Set(options.allow));
    if (plan !== undefined) return session.runner.start(plan);
    return report.finished.find(({ progress }) => isRemovalOf(target, progress.plan, before));
  });
  const since = () => clock.now() - startedAt;
  if (first === undefined) {
    const removals = [{ id: what, state: 'released' as const, ms: since() }];
    return { removals, steps: [], pending: undefined };
  }
  try {
    const result = options.wait === false ? first : await session.runner.drive(first, patience);
    return await removed(session, result, since(), options.wait !== false);
  } catch (error) {
    if (!(error instanceof UnplugRefusedError)) throw error;
    return await refused(session, first, error, since());
  }
}

function planFor(
  { planner }: PlanRunner,
  what: string,
  world: World,
  allow: ReadonlySet<string>,
): HotplugPlan | undefined {
  const target = findDetachTarget(what, world);
  switch (target.kind) {
    case 'attachment':
      return planner.detach(target.attachment, world, allow);
    case 'foreign':
      return planner.detachForeign(target.device, world, allow);
    case 'gone':
      return undefined;
  }
}

/** A removal of the same device that is under way, be it to take an attach back. */
async function openRemoval({ runner }: VmSession, what: string): Promise<HotplugEntry | undefined> {
  const attachments = await readAttachments(runner);
  const entries = await runner.entries();
  return entries.find(({ progress }) => {
    const { plan } = progress;
    if (isTakenBack(progress)) {
      return addsOf(plan.steps).some(({ id, host }) => id === what || host === what);
    }
    return isRemovalOf(what, plan, attachments);
  });
}

function isRemovalOf(
  what: string,
  { subject }: HotplugPlan,
  attachments: readonly Attachment[],
): boolean {
  if (subject.kind !== 'detach') return false;
  if (subject.ids.includes(what)) return true;
  const attachment = attachments.find(({ planId }) => planId === subject.attachment);
  return attachment?.functions.some(({ host }) => host === what) ?? false;
}

async function removed(
  { link, runner }: VmSession,
  result: HotplugResult,
  ms: number,
  waited: boolean,
): Promise<DetachResult> {
  const { steps } = result.progress.plan;
  const isOver =
    result.kind === 'done' || (result.kind === 'undone' && isTakenBack(result.progress));
  if (!isOver && result.kind !== 'waiting') throw errorOf(result);
  const hostGoesBack = steps.some(({ kind }) => kind === 'ReleaseGroup' || kind === 'ReserveGroup');
  const over = hostGoesBack ? ('released' as const) : ('unplugged' as const);
  const removals = await Promise.all(
    idsLeaving(result.progress).map(async (id): Promise<RemovalReport> => {
      if (isOver) {
        const dead = await isQuarantined(runner, id, result.progress.plan);
        return { id, state: dead ? 'quarantined' : over, ms };
      }
      const inside = (await presenceOf(link, id)) !== 'absent';
      if (!inside) return { id, state: 'unplugged', ms };
      return { id, state: waited ? 'pending' : 'requested', ms };
    }),
  );
  const pending = result.kind === 'waiting' ? result.reason : undefined;
  return { removals, steps: reportSteps(result.progress), pending };
}

function idsLeaving({ plan: { subject, steps } }: HotplugProgress): readonly string[] {
  if (subject.kind === 'attach') return addsOf(steps).map(({ id }) => id);
  return [...new Set(steps.flatMap((step) => (step.kind === 'AwaitRemoval' ? step.ids : [])))];
}

const addsOf = (steps: readonly HotplugStep[]) => steps.filter((step) => step.kind === 'AddDevice');

async function isQuarantined(
  { quarantine }: PlanRunner,
  id: string,
  { steps }: HotplugPlan,
): Promise<boolean> {
  const back = steps.find((step) => step.kind === 'RestoreDriver' && step.id === id);
  if (back?.kind !== 'RestoreDriver') return false;
  return (await quarantine.read(back.bdf)) !== undefined;
}

/**
 * The guest said no. Where nothing left, the removal is off; otherwise the rest stays open, and so does what is
 * left of an attach.
 */
async function refused(
  { link, runner }: VmSession,
  { progress }: HotplugResult,
  error: UnplugRefusedError,
  ms: number,
): Promise<DetachResult> {
  const { plan } = progress;
  const ids = idsLeaving(progress);
  const presences = await Promise.all(ids.map((id) => presenceOf(link, id)));
  const isOff = presences.every((presence) => presence === 'present') && !isTakenBack(progress);
  if (isOff) await runner.journal.forget(plan.id);
  throw new UnplugRefusedError('UNPLUG_REFUSED', error.message, {
    remedy: error.remedy,
    details: { ...error.details, removals: ids.map((id) => ({ id, state: 'refused', ms })) },
    steps: reportSteps(progress),
  });
}
