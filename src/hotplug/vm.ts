import { queryPci } from '../qmp/query-pci.js';
import type { QmpEvent } from '../qmp/session.js';
import type { VmIdentity, VmKey, VmSnapshot } from '../vm/types.js';
import type { HotplugPlan } from '../plan/steps.js';
import { attachBatch, previewBatch } from './attach-batch.js';
import { attach, previewAttach } from './attach.js';
import type { Departure } from './departure.js';
import { aboutRequest, operate, type Answered } from './operation.js';
import { detach, previewDetach } from './detach.js';
import type { Environment } from './environment.js';
import { UnplugRefusedError } from '../engine/step-errors.js';
import { readAttachments, readLeaving } from './reconcile.js';
import type {
  AttachBatchRequest,
  AttachPreview,
  AttachRequest,
  AttachResult,
  BatchEntry,
  BatchPreviewEntry,
  DetachOptions,
  DetachResult,
  RecoveryResult,
  WaitOptions,
} from './requests.js';
import { readStatus, type VmStatus } from './status.js';
import type { VmLink } from './vm-link.js';
import { VmSession } from './vm-session.js';
import { DepartureWatch } from './watch-departures.js';

/** A running VM: what goes in, what comes out, and what is true about both. */
export class Vm {
  readonly #session: VmSession;
  readonly #watch: DepartureWatch;

  /** @internal Made by `openVm`; tests and the simulator bring a link of their own. */
  constructor(environment: Environment, link: VmLink) {
    this.#session = new VmSession(environment, link);
    this.#watch = new DepartureWatch(this.#session);
  }

  get identity(): VmIdentity {
    return this.#session.link.identity;
  }

  /** Equal exactly for one VM, however it is addressed. */
  get key(): VmKey {
    return this.#session.link.key;
  }

  /**
   * The steps that `attach` would run now; nothing is changed.
   *
   * @returns the plan, or what `attach` would answer where there is nothing to do.
   * @throws {RefusedError} whatever `attach` would refuse.
   */
  async planAttach(request: AttachRequest): Promise<AttachPreview> {
    return previewAttach(this.#session, request);
  }

  /**
   * Puts a device into the VM. What the guest gives back before this is over is released and attached once
   * more; the warnings say so.
   *
   * @throws {RefusedError} nothing was changed.
   * @throws {StepError} a step failed and everything was undone, or the guest gave it back twice.
   * @throws {PendingError} undoing it still waits for the guest; nothing was freed.
   * @throws {RollbackError} {UnknownStateError} there is something left to `recover`.
   */
  async attach(request: AttachRequest, options: WaitOptions = {}): Promise<Answered<AttachResult>> {
    const call = { operation: 'attach', about: aboutRequest(request), ...idOf(options) };
    const { result, report } = await operate(this.#session.environment, call, (logger) =>
      attach(this.#session, request, options, logger),
    );
    return { ...result, ...report };
  }

  /** What `attachBatch` would do now; nothing is changed. @throws {RefusedError} whatever it would refuse. */
  async planAttachBatch(request: AttachBatchRequest): Promise<readonly BatchPreviewEntry[]> {
    return previewBatch(this.#session, request);
  }

  /**
   * Puts every device that a selector and its policy choose into the VM, an attachment for each slot or IOMMU
   * group: all of them, or none. All are checked and set aside before the first is touched; where one fails, those
   * that went before are taken out again. With `partial` they stay, and the failure is an entry of the answer.
   *
   * @param options times are for each device.
   * @throws {RefusedError} nothing was changed.
   * @throws {StepError} `BATCH_FAILED`: one failed, and the others were taken out again.
   * @throws {PendingError} the guest still has to let go of one.
   * @throws {RollbackError} {UnknownStateError} there is something left to `recover`.
   */
  async attachBatch(
    request: AttachBatchRequest,
    options: WaitOptions = {},
  ): Promise<readonly BatchEntry[]> {
    const call = { operation: 'attach', about: aboutRequest(request), ...idOf(options) };
    const { result } = await operate(this.#session.environment, call, (logger) =>
      attachBatch(this.#session, request, options, logger),
    );
    return result;
  }

  /**
   * The steps that `detach` would run now; nothing is changed. `gone` where there is nothing to do.
   *
   * @throws {RefusedError} whatever `detach` would refuse.
   */
  async planDetach(what: string, options: DetachOptions = {}): Promise<HotplugPlan | 'gone'> {
    return previewDetach(this.#session, what, options);
  }

  /**
   * Takes out what an id or a host address names, with everything its request put in, and gives the host
   * back once it is proven gone. What is gone already is a success; what is on its way is joined.
   *
   * @throws {InputError} `BAD_ID` for what is neither an id nor an address.
   * @throws {RefusedError} nothing was changed.
   * @throws {UnknownStateError} there is something left to `recover`.
   */
  async detach(what: string, options: DetachOptions = {}): Promise<Answered<DetachResult>> {
    const call = { operation: 'detach', about: what, ...idOf(options) };
    const { result, report } = await operate(this.#session.environment, call, () =>
      detach(this.#session, what, options),
    );
    return { ...result, ...report };
  }

  /** Ports, attachments and removals as they are now; finishes what can be finished on the way. */
  async status(options: WaitOptions = {}): Promise<VmStatus> {
    await this.#session.recoverNow(this.#session.patience(options));
    return this.inspect();
  }

  /** What `status` tells, without waiting for anyone and without finishing anything. */
  async inspect(): Promise<VmStatus> {
    const { runner, link } = this.#session;
    const vm = await this.#session.snapshot();
    return readStatus({
      vm,
      pci: await queryPci(await link.session()),
      attachments: await readAttachments(runner),
      leaving: await readLeaving(runner),
    });
  }

  /** The VM's ports and devices as they are now. */
  async snapshot(): Promise<VmSnapshot> {
    return this.#session.snapshot();
  }

  /**
   * Reconciles journal, VM and host, forwards or backwards by each plan's commit point, gives back what left
   * the VM by itself, and waits for what only the guest keeps from ending. Every other method begins with
   * the same, but for the waiting.
   */
  async recover(options: WaitOptions = {}): Promise<RecoveryResult> {
    const call = { operation: 'recover', about: this.key, ...idOf(options) };
    const { result } = await operate(this.#session.environment, call, () => this.#recover(options));
    return result;
  }

  async #recover(options: WaitOptions): Promise<RecoveryResult> {
    const { runner } = this.#session;
    const patience = this.#session.patience(options);
    const report = await this.#session.recoverNow(patience);
    for (const result of report.waiting) {
      if (result.progress.plan.scope !== this.key) continue;
      try {
        report.add(await runner.drive(result, patience));
      } catch (error) {
        // The guest declined once more: it still waits.
        if (!(error instanceof UnplugRefusedError)) throw error;
      }
    }
    return report.result;
  }

  /**
   * Calls back for everything attached that leaves the VM unasked while this is open: ejected by the guest,
   * or taken back while it booted. The host has been given back by then, or the departure says
   * what is missing. The listener may be called twice for one departure, `pending` and then `released`.
   *
   * @returns ends the calls.
   */
  onDeparture(listener: (departure: Departure) => void): () => void {
    return this.#session.onDeparture(listener);
  }

  /** Calls back for every event of QEMU from now on, in order; the returned function ends it. */
  onEvent(listener: (event: QmpEvent) => void): () => void {
    return this.#session.link.onEvent(listener);
  }

  /** Resolves when the present session has ended, with the reason; what is asked next opens another. */
  async sessionEnd(): Promise<Error | undefined> {
    const session = await this.#session.link.session();
    return session.closed;
  }

  /** Ends the session. What was begun is finished by a later command. */
  async close(): Promise<void> {
    await this.#watch.close();
    await this.#session.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

const idOf = ({ requestId }: WaitOptions) => ({ requestId });
