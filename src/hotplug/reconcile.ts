import { Journal, Reservations, sweepLocks } from '../engine/index.js';
import { attachmentOf, presentIds, type Attachment } from '../plan/attachment.js';
import type { World } from '../plan/world.js';
import { vmKeyOf } from '../vm/identity.js';
import type { VmIdentity, VmSnapshot } from '../vm/types.js';
import type { Environment } from './environment.js';
import { goneLink, hostLink } from './live-link.js';
import { newPlanId } from '../engine/plan-id.js';
import type { RecoveryItem, RecoveryResult } from './requests.js';
import { isRecord, isTakenBack, PlanRunner, type HotplugEntry } from './runner.js';
import { errorOf, type HotplugResult } from './settle.js';

const RECOVERY_LOCK_MS = 1_000;

/** Collects what a reconciliation did: of each plan the last that was heard of it. */
export class RecoveryReport {
  readonly #results = new Map<string, HotplugResult>();

  add(result: HotplugResult): void {
    this.#results.set(result.progress.plan.id, result);
  }

  /** What would go on by itself once the guest does. */
  get waiting(): readonly HotplugResult[] {
    return [...this.#results.values()].filter((result) => result.kind === 'waiting');
  }

  /** What came to its end. */
  get finished(): readonly HotplugResult[] {
    return [...this.#results.values()].filter((result) => result.kind === 'done');
  }

  get result(): RecoveryResult {
    const of = (belongs: (kind: HotplugResult['kind']) => boolean) =>
      [...this.#results.values()].filter(({ kind }) => belongs(kind)).map(itemOf);
    return {
      finished: of((kind) => kind === 'done'),
      undone: of((kind) => kind === 'undone'),
      open: of((kind) => kind !== 'done' && kind !== 'undone'),
    };
  }
}

function itemOf(result: HotplugResult): RecoveryItem {
  const { plan } = result.progress;
  return {
    planId: plan.id,
    kind: plan.kind,
    vm: plan.scope,
    ids: plan.subject.kind === 'host' ? plan.subject.devices : idsOf(plan.steps),
    outcome: result.kind,
    reason: result.kind === 'done' ? undefined : errorOf(result).message,
  };
}

function idsOf(steps: HotplugResult['progress']['plan']['steps']): readonly string[] {
  const ids = steps.flatMap((step) => {
    if (step.kind === 'AddDevice') return [step.id];
    return step.kind === 'AwaitRemoval' ? step.ids : [];
  });
  return [...new Set(ids)];
}

/**
 * Takes up every plan of this VM that did not end: forwards past its commit point, backwards before it. Only
 * under the VM's lock, where nobody else can be at work on them.
 */
export async function resumeOpenPlans(runner: PlanRunner, report: RecoveryReport): Promise<void> {
  for (const entry of await openEntries(runner)) {
    report.add(await runner.resume(entry));
  }
}

async function openEntries(runner: PlanRunner): Promise<readonly HotplugEntry[]> {
  const entries = await runner.entries();
  return entries.filter(({ progress }) => isOpen(progress));
}

/** What has ended and is no record is open too: whoever ended it was killed before it was forgotten. */
const isOpen = (progress: HotplugEntry['progress']) =>
  !(progress.ended === 'done' && isRecord(progress));

/** The attachments of this VM, oldest first. */
export async function readAttachments(runner: PlanRunner): Promise<readonly Attachment[]> {
  const entries = await runner.entries();
  return entries.flatMap(({ progress }) => attachmentOf(progress) ?? []);
}

/**
 * Ids whose removal was requested and is not over: by a detach, or to take back an attach that did not get done.
 */
export async function readLeaving(runner: PlanRunner): Promise<ReadonlySet<string>> {
  const open = await openEntries(runner);
  return new Set(
    open
      .filter(({ progress }) => progress.plan.kind === 'detach' || isTakenBack(progress))
      .flatMap(({ progress }) => idsOf(progress.plan.steps)),
  );
}

/**
 * Gives back what left the VM without our asking: the guest ejected it, a reset completed an old request,
 * or the VM has ended. Newest first, so that the oldest record of a driver is restored last.
 *
 * @returns how far each of them came.
 */
export async function releaseDeparted(
  runner: PlanRunner,
  world: Omit<World, 'planId'>,
  report: RecoveryReport,
): Promise<readonly HotplugResult[]> {
  const results: HotplugResult[] = [];
  for (const attachment of [...world.attachments].reverse()) {
    const mayReturn = attachment.functions.some((fn) => world.leaving.has(fn.id));
    if (mayReturn || presentIds(attachment, world.vm).length > 0) continue;
    const groupsStay = attachment.groups.some((group) => isInside(group, attachment, world));
    // Its group is still held through another device: it goes back with the last of them.
    if (groupsStay) continue;
    const plan = runner.planner.detach(attachment, { ...world, planId: newPlanId() }, new Set());
    const result = await runner.start(plan);
    report.add(result);
    results.push(result);
  }
  return results;
}

function isInside(group: number, mine: Attachment, { attachments, vm }: Omit<World, 'planId'>) {
  return attachments.some(
    (other) => other !== mine && other.groups.includes(group) && presentIds(other, vm).length > 0,
  );
}

/**
 * Reconciles what VMs that have ended left behind on this host, whoever ran them, and what was begun for
 * the host alone and not ended.
 */
export async function recoverEnded(
  environment: Environment,
  report: RecoveryReport,
): Promise<void> {
  const { liveness, state, runtime } = environment;
  const entries = (await new Journal(state).list()) as readonly HotplugEntry[];
  const self = await liveness.self();
  const vms = new Map<string, { identity: VmIdentity; address: string }>();
  for (const { progress } of entries) {
    const { subject } = progress.plan;
    if (subject.kind === 'host') continue;
    vms.set(vmKeyOf(subject.vm), { identity: subject.vm, address: subject.address });
  }
  await recoverHostPlans(environment, entries, report);
  for (const { identity, address } of vms.values()) {
    if (identity.kind === 'address') continue;
    const alive = await liveness.isAlive(identity);
    if (!alive.known || alive.value) continue;
    if (identity.bootId === self.bootId) await recoverVm(environment, identity, address, report);
    else await forgetPlans(environment, entries.filter(inScope(vmKeyOf(identity))));
  }
  await state.sweep();
  await runtime.sweep();
  await sweepLocks({ store: runtime, liveness });
}

const inScope =
  (scope: string) =>
  ({ progress }: HotplugEntry) =>
    progress.plan.scope === scope;

async function recoverHostPlans(
  environment: Environment,
  entries: readonly HotplugEntry[],
  report: RecoveryReport,
): Promise<void> {
  const { bootId } = await environment.liveness.self();
  const ofHost = entries.filter(({ progress }) => progress.plan.subject.kind === 'host');
  const isOfThisBoot = ({ progress: { plan } }: HotplugEntry) =>
    plan.subject.kind === 'host' && plan.subject.bootId === bootId;
  await forgetPlans(
    environment,
    ofHost.filter((entry) => !isOfThisBoot(entry)),
  );
  if (!ofHost.some(({ progress }) => isOpen(progress))) return;
  const runner = new PlanRunner(environment, hostLink());
  const patience = { endsAt: environment.clock.now() + RECOVERY_LOCK_MS, signal: undefined };
  // Whoever has the lock is at work on them.
  await runner.tryExclusively(patience, () => resumeOpenPlans(runner, report));
}

async function recoverVm(
  environment: Environment,
  identity: VmIdentity,
  address: string,
  report: RecoveryReport,
): Promise<void> {
  const vm = goneLink(address, identity);
  const runner = new PlanRunner(environment, vm);
  const patience = { endsAt: environment.clock.now() + RECOVERY_LOCK_MS, signal: undefined };
  // Whoever has the lock is recovering the same VM.
  await runner.tryExclusively(patience, async () => {
    await resumeOpenPlans(runner, report);
    const world = {
      address,
      vm: emptySnapshot(identity),
      host: undefined,
      attachments: await readAttachments(runner),
      leaving: await readLeaving(runner),
      reservations: [],
      quarantine: [],
    };
    await releaseDeparted(runner, world, report);
  });
}

/** A reboot gave every device back to its driver; only the notes are left. */
async function forgetPlans(
  { state, runtime }: Environment,
  entries: readonly HotplugEntry[],
): Promise<void> {
  const journal = new Journal(state);
  const reservations = new Reservations(runtime);
  for (const { progress } of entries) {
    for (const { key } of await reservations.list()) {
      await reservations.release(key, progress.plan.id);
    }
    await journal.forget(progress.plan.id);
  }
}

/** The snapshot of a VM that has ended: there is nothing in it. */
function emptySnapshot(identity: VmIdentity): VmSnapshot {
  return {
    identity,
    key: vmKeyOf(identity),
    qemu: { major: 0, minor: 0, micro: 0, package: '' },
    machineType: '',
    arch: '',
    status: 'shutdown',
    ports: [],
    buses: new Map(),
    devices: [],
    objects: new Map(),
    ramBytes: { known: false, reason: 'the VM has ended' },
  };
}
