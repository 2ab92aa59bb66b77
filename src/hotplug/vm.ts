import PQueue from 'p-queue';
import { reportSteps } from '../engine/index.js';
import { InputError, RefusedError } from '../errors.js';
import { findDetachTarget, planDetach, planForeignDetach } from '../plan/plan-detach.js';
import { planAttach, type AttachPlanning } from '../plan/plan-attach.js';
import type { World } from '../plan/world.js';
import type { AddDevice, HotplugPlan } from '../plan/steps.js';
import { connectQmp, openSession } from '../qmp/client.js';
import { queryPci } from '../qmp/query-pci.js';
import type { QmpEvent } from '../qmp/session.js';
import type { QmpTransport } from '../qmp/transport.js';
import { identifyVm } from '../vm/identity.js';
import type { VmIdentity, VmKey, VmSnapshot } from '../vm/types.js';
import type { Environment } from './environment.js';
import { UnplugRefusedError } from '../engine/step-errors.js';
import { LastLook, withAdded, type Look } from './last-look.js';
import { openLiveLink } from './live-link.js';
import { newPlanId } from '../engine/plan-id.js';
import { presenceOf } from './presence.js';
import {
  readAttachments,
  readLeaving,
  RecoveryReport,
  recoverEnded,
  releaseDeparted,
  resumeOpenPlans,
} from './reconcile.js';
import { requestRemoval } from './request-removal.js';
import type {
  AttachmentReport,
  AttachPreview,
  AttachRequest,
  AttachResult,
  DetachOptions,
  DetachResult,
  RecoveryResult,
  RemovalReport,
  WaitOptions,
} from './requests.js';
import { resolveRequest, resolveTarget, type ResolvedRequest } from './resolve.js';
import { PlanRunner, type HotplugEntry, type Patience } from './runner.js';
import { errorOf, type HotplugResult } from './settle.js';
import { describeFunctions, readStatus, type VmStatus } from './status.js';
import type { VmLink } from './vm-link.js';

export interface OpenVmOptions {
  readonly environment: Environment;
  /** The QEMU process behind the address, where it cannot be found by itself; it is checked. */
  readonly qemuPid?: number | undefined;
  /** Milliseconds until a monitor that stays silent counts as busy. Default 5,000. */
  readonly connectTimeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Reaches the monitor instead of the address, which then only names it: a player, a simulator. */
  readonly transport?: (() => Promise<QmpTransport>) | undefined;
  /** Who is behind that transport; without it no process is proven, and no host device goes there. */
  readonly identity?: VmIdentity | undefined;
}

const DEFAULT_TIMEOUT_MS = 15_000;
const NO_HOST = { host: undefined };

type Already = Extract<AttachPlanning, { kind: 'already' }>;

/**
 * Connects to a running VM, whoever booted it.
 *
 * @param address `/run/vm.sock`, `unix:PATH`, `tcp:HOST:PORT` or `exec:COMMAND`.
 * @throws {ConnectError} there is no session to be had, or a foreign client has the monitor.
 */
export async function openVm(address: string, options: OpenVmOptions): Promise<Vm> {
  const { environment, qemuPid, transport, identity, signal } = options;
  const { clock, logger, effects, liveness } = environment;
  const session = { clock, logger, greetingDeadlineMs: options.connectTimeoutMs, signal };
  const link = await openLiveLink({
    address,
    connect: async () =>
      transport === undefined
        ? connectQmp(address, session)
        : openSession(await transport(), session),
    identify: async () => {
      if (transport === undefined) return identifyVm(address, effects, { qemuPid });
      return identity ?? { kind: 'address', address };
    },
    liveness,
  });
  return new Vm(environment, link);
}

/** A running VM: what goes in, what comes out, and what is true about both. */
export class Vm {
  readonly #environment: Environment;
  readonly #link: VmLink;
  readonly #runner: PlanRunner;
  readonly #queue = new PQueue({ concurrency: 1 });
  readonly #lastLook: LastLook;

  /** @internal Made by `openVm`; tests and the simulator bring a link of their own. */
  constructor(environment: Environment, link: VmLink) {
    this.#environment = environment;
    this.#link = link;
    this.#runner = new PlanRunner(environment, link);
    this.#lastLook = new LastLook(link);
  }

  get identity(): VmIdentity {
    return this.#link.identity;
  }

  /** Equal exactly for one VM, however it is addressed. */
  get key(): VmKey {
    return this.#link.key;
  }

  /**
   * The steps that `attach` would run now; nothing is changed.
   *
   * @returns the plan, or what `attach` would answer where there is nothing to do.
   * @throws {RefusedError} whatever `attach` would refuse.
   */
  async planAttach(request: AttachRequest): Promise<AttachPreview> {
    const resolved = await this.#resolve(request);
    const world = await this.#world(resolved, await this.#lastLook.renew());
    const planning = planAttach(resolved.request, world);
    if (planning.kind === 'plan') {
      await this.#runner.check(planning.plan);
      return planning;
    }
    return { kind: 'already', result: await this.#already(planning.ids, world.vm) };
  }

  /**
   * Puts a device into the VM.
   *
   * @throws {RefusedError} nothing was changed.
   * @throws {StepError} a step failed and everything was undone.
   * @throws {PendingError} undoing it still waits for the guest; nothing was freed.
   * @throws {RollbackError} {UnknownStateError} there is something left to `recover`.
   */
  async attach(request: AttachRequest, options: WaitOptions = {}): Promise<AttachResult> {
    const patience = this.#patience(options);
    // What a VM that has ended still has on record stands in nobody's way.
    if ('device' in request) await recoverEnded(this.#environment, new RecoveryReport());
    const { vm, first } = await this.#exclusively(patience, async () => {
      const look = await this.#reconcile(new RecoveryReport());
      return this.#begin(await this.#resolve(request), look);
    });
    if (first.kind === 'already') return this.#already(first.ids, vm);
    const result = await this.#runner.drive(first, patience);
    const { progress } = result;
    const placing = result.kind === 'waiting' && progress.committed;
    if (result.kind !== 'done' && !placing) throw errorOf(result);
    const added = progress.plan.steps.filter((step) => step.kind === 'AddDevice');
    this.#lastLook.add(added);
    const ids = added.map((step) => step.id);
    return {
      attachment: await this.#describe(ids, await this.#afterAdding(vm, added), false),
      steps: reportSteps(progress),
      pending: result.kind === 'waiting' ? result.reason : undefined,
    };
  }

  /**
   * The steps that `detach` would run now; nothing is changed. `gone` where there is nothing to do.
   *
   * @throws {RefusedError} whatever `detach` would refuse.
   */
  async planDetach(what: string, options: DetachOptions = {}): Promise<HotplugPlan | 'gone'> {
    const target = await resolveTarget(what, this.#environment, () => this.#hostDevices());
    const world = await this.#world(NO_HOST, await this.#lastLook.renew());
    const plan = this.#planDetach(target, world, new Set(options.allow));
    if (plan === undefined) return 'gone';
    await this.#runner.check(plan);
    return plan;
  }

  /**
   * Takes out what an id or a host address names, with everything its request put in, and gives the host
   * back once it is proven gone. What is gone already is a success; what is on its way is joined.
   *
   * @throws {InputError} `BAD_ID` for what is neither an id nor an address.
   * @throws {RefusedError} nothing was changed.
   * @throws {UnknownStateError} there is something left to `recover`.
   */
  async detach(what: string, options: DetachOptions = {}): Promise<DetachResult> {
    const { clock } = this.#environment;
    const startedAt = clock.now();
    const patience = this.#patience(options);
    const target = await resolveTarget(what, this.#environment, () => this.#hostDevices());
    const first = await this.#exclusively(patience, async () => {
      const look = await this.#reconcile(new RecoveryReport());
      const open = await this.#openRemoval(target);
      if (open !== undefined) return this.#pressAgain(open);
      const world = await this.#world(NO_HOST, look);
      const plan = this.#planDetach(target, world, new Set(options.allow));
      return plan === undefined ? undefined : this.#runner.start(plan);
    });
    const since = () => clock.now() - startedAt;
    if (first === undefined) {
      const removals = [{ id: what, state: 'released' as const, ms: since() }];
      return { removals, steps: [], pending: undefined };
    }
    try {
      const result = options.wait === false ? first : await this.#runner.drive(first, patience);
      return await this.#removed(result, since(), options.wait !== false);
    } catch (error) {
      if (!(error instanceof UnplugRefusedError)) throw error;
      return await this.#refused(first, error, since());
    }
  }

  /** Ports, attachments and removals as they are now; finishes what can be finished on the way. */
  async status(options: WaitOptions = {}): Promise<VmStatus> {
    await this.#recoverNow(this.#patience(options));
    return this.inspect();
  }

  /** What `status` tells, without waiting for anyone and without finishing anything. */
  async inspect(): Promise<VmStatus> {
    const vm = await this.snapshot();
    return readStatus({
      vm,
      pci: await queryPci(await this.#link.session()),
      attachments: await readAttachments(this.#runner),
      leaving: await readLeaving(this.#runner),
    });
  }

  /** The VM's ports and devices as they are now. */
  async snapshot(): Promise<VmSnapshot> {
    return (await this.#lastLook.renew()).vm;
  }

  /**
   * Reconciles journal, VM and host, forwards or backwards by each plan's commit point, gives back what left
   * the VM by itself, and waits for what only the guest keeps from ending. Every other method begins with
   * the same, but for the waiting.
   */
  async recover(options: WaitOptions = {}): Promise<RecoveryResult> {
    const patience = this.#patience(options);
    const report = await this.#recoverNow(patience);
    for (const result of report.waiting) {
      if (result.progress.plan.scope !== this.key) continue;
      try {
        report.add(await this.#runner.drive(result, patience));
      } catch (error) {
        // The guest declined once more: it still waits.
        if (!(error instanceof UnplugRefusedError)) throw error;
      }
    }
    return report.result;
  }

  /** Calls back for every event of QEMU from now on, in order; the returned function ends it. */
  onEvent(listener: (event: QmpEvent) => void): () => void {
    return this.#link.onEvent(listener);
  }

  /** Resolves when the present session has ended, with the reason; what is asked next opens another. */
  async sessionEnd(): Promise<Error | undefined> {
    const session = await this.#link.session();
    return session.closed;
  }

  /** Ends the session. What was begun is finished by a later command. */
  async close(): Promise<void> {
    await this.#queue.onIdle();
    await this.#link.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #patience({ timeoutMs = DEFAULT_TIMEOUT_MS, signal }: WaitOptions): Patience {
    if (!(timeoutMs >= 0)) {
      throw new InputError('BAD_ARGUMENT', `A timeout of ${timeoutMs} ms cannot be waited for`);
    }
    return { endsAt: this.#environment.clock.now() + timeoutMs, signal };
  }

  /** One at a time in this process, and under the VM's lock among processes. */
  async #exclusively<T>(patience: Patience, work: () => Promise<T>): Promise<T> {
    return this.#queue.add(() => {
      if (patience.signal?.aborted) {
        const cause: unknown = patience.signal.reason;
        throw new RefusedError('ABORTED', 'Stopped before anything was begun', { cause });
      }
      return this.#runner.exclusively(patience, work);
    });
  }

  async #recoverNow(patience: Patience): Promise<RecoveryReport> {
    const report = new RecoveryReport();
    await this.#exclusively(patience, () => this.#reconcile(report));
    await recoverEnded(this.#environment, report);
    return report;
  }

  /** @returns the VM as it was seen on the way, which nothing of this changes. */
  async #reconcile(report: RecoveryReport): Promise<Look> {
    await resumeOpenPlans(this.#runner, report);
    const look = await this.#lastLook.confirm();
    await releaseDeparted(this.#runner, await this.#world(NO_HOST, look), report);
    return look;
  }

  async #resolve(request: AttachRequest): Promise<ResolvedRequest> {
    const { identity, key } = this.#link;
    return resolveRequest(request, this.#environment, { identity, key });
  }

  /** Host addresses of what is in the VM, or is on record as being there. */
  async #hostDevices(): Promise<ReadonlySet<string>> {
    const attachments = await readAttachments(this.#runner);
    const { devices } = await this.snapshot();
    return new Set([
      ...attachments.flatMap(({ functions }) => functions.flatMap(({ host }) => host ?? [])),
      ...devices.flatMap(({ host, sysfsdev }) => host ?? sysfsdev?.split('/').at(-1) ?? []),
    ]);
  }

  /**
   * Plans an attach and runs it as far as it goes. A host device is planned on a full look; where a look that
   * was only confirmed leads to a refusal or a failure, a full one decides.
   */
  async #begin(
    resolved: ResolvedRequest,
    look: Look,
  ): Promise<{ readonly vm: VmSnapshot; readonly first: HotplugResult | Already }> {
    const again = async () => this.#begin(resolved, await this.#lastLook.renew());
    const { vm, fresh } = look;
    if (resolved.host !== undefined && !fresh) return again();
    const world = await this.#world(resolved, look);
    let planning: AttachPlanning;
    try {
      planning = planAttach(resolved.request, world);
    } catch (error) {
      if (fresh || !(error instanceof RefusedError)) throw error;
      return again();
    }
    if (planning.kind === 'already') return { vm, first: planning };
    const first = await this.#runner.start(planning.plan);
    return first.kind === 'undone' && !fresh ? again() : { vm, first };
  }

  async #world({ host }: Pick<ResolvedRequest, 'host'>, { vm }: Look): Promise<World> {
    return {
      address: this.#link.address,
      vm,
      host,
      attachments: await readAttachments(this.#runner),
      leaving: await readLeaving(this.#runner),
      reservations: await this.#runner.context.reservations.list(),
      quarantine: await this.#runner.quarantine.list(),
      planId: newPlanId(),
    };
  }

  #planDetach(what: string, world: World, allow: ReadonlySet<string>): HotplugPlan | undefined {
    const target = findDetachTarget(what, world);
    switch (target.kind) {
      case 'attachment':
        return planDetach(target.attachment, world, allow);
      case 'foreign':
        return planForeignDetach(target.device, world, allow);
      case 'gone':
        return undefined;
    }
  }

  /** A removal of the same device that is under way. */
  async #openRemoval(what: string): Promise<HotplugEntry | undefined> {
    const attachments = await readAttachments(this.#runner);
    const entries = await this.#runner.entries();
    return entries.find(({ progress: { plan } }) => {
      const { subject } = plan;
      if (subject.kind !== 'detach' || plan.scope !== this.key) return false;
      const attachment = attachments.find((each) => each.planId === subject.attachment);
      return (
        subject.ids.includes(what) ||
        (attachment?.functions.some((fn) => fn.host === what) ?? false)
      );
    });
  }

  /** Asks again for a removal that a reset may have lost: QEMU refuses what is under way anyway. */
  async #pressAgain(entry: HotplugEntry): Promise<HotplugResult> {
    for (const step of entry.progress.plan.steps) {
      if (step.kind !== 'RemoveDevice') continue;
      if ((await presenceOf(this.#link, step.id)) === 'present') {
        await requestRemoval(this.#link, step.id);
      }
    }
    return this.#runner.resume(entry);
  }

  async #already(ids: readonly string[], vm: VmSnapshot): Promise<AttachResult> {
    return { attachment: await this.#describe(ids, vm, true), steps: [], pending: undefined };
  }

  async #describe(
    ids: readonly string[],
    vm: VmSnapshot,
    already: boolean,
  ): Promise<AttachmentReport> {
    const pci = await queryPci(await this.#link.session());
    const attachments = await readAttachments(this.#runner);
    const mine = attachments.find((each) => each.functions.some((fn) => ids.includes(fn.id)));
    return { group: mine?.groups[0], already, functions: describeFunctions(ids, { vm, pci }) };
  }

  async #removed(result: HotplugResult, ms: number, waited: boolean): Promise<DetachResult> {
    if (result.kind !== 'done' && result.kind !== 'waiting') throw errorOf(result);
    const { steps } = result.progress.plan;
    const ids = [
      ...new Set(steps.flatMap((step) => (step.kind === 'AwaitRemoval' ? step.ids : []))),
    ];
    const hostGoesBack = steps.some((step) => step.kind === 'ReleaseGroup');
    const over = hostGoesBack ? ('released' as const) : ('unplugged' as const);
    const removals = await Promise.all(
      ids.map(async (id): Promise<RemovalReport> => {
        if (result.kind === 'done') {
          const dead = await this.#isQuarantined(id, result.progress.plan);
          return { id, state: dead ? 'quarantined' : over, ms };
        }
        const inside = (await presenceOf(this.#link, id)) !== 'absent';
        if (!inside) return { id, state: 'unplugged', ms };
        return { id, state: waited ? 'pending' : 'requested', ms };
      }),
    );
    const pending = result.kind === 'waiting' ? result.reason : undefined;
    return { removals, steps: reportSteps(result.progress), pending };
  }

  /**
   * The VM with devices whose place was verified when they were added. What the guest of an s390x knows a
   * PCI device by has been made with it, so that VM is read again.
   */
  async #afterAdding(vm: VmSnapshot, added: readonly AddDevice[]): Promise<VmSnapshot> {
    return vm.channels === undefined ? withAdded(vm, added) : (await this.#lastLook.renew()).vm;
  }

  async #isQuarantined(id: string, { steps }: HotplugPlan): Promise<boolean> {
    const back = steps.find((step) => step.kind === 'RestoreDriver' && step.id === id);
    if (back?.kind !== 'RestoreDriver') return false;
    return (await this.#runner.quarantine.read(back.bdf)) !== undefined;
  }

  /** The guest said no. Where nothing left, the removal is off; otherwise the rest stays open. */
  async #refused(
    { progress }: HotplugResult,
    error: UnplugRefusedError,
    ms: number,
  ): Promise<DetachResult> {
    const { plan } = progress;
    const ids = plan.steps.flatMap((step) => (step.kind === 'AwaitRemoval' ? step.ids : []));
    const presences = await Promise.all(ids.map((id) => presenceOf(this.#link, id)));
    if (presences.every((presence) => presence === 'present')) {
      await this.#runner.journal.forget(plan.id);
    }
    throw new UnplugRefusedError('UNPLUG_REFUSED', error.message, {
      remedy: error.remedy,
      details: { ...error.details, removals: ids.map((id) => ({ id, state: 'refused', ms })) },
      steps: reportSteps(progress),
    });
  }
}
