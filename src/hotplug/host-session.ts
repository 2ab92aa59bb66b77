import { reportSteps, type StepReport } from '../engine/index.js';
import type { HostSnapshot } from '../host/types.js';
import type { HostWorld } from '../plan/plan-host.js';
import { HOST_SCOPE, type HotplugPlan } from '../plan/steps.js';
import type { Environment } from './environment.js';
import { hostLink } from './live-link.js';
import { newPlanId } from '../engine/plan-id.js';
import { patienceOf } from './patience.js';
import { recoverEnded, RecoveryReport } from './reconcile.js';
import { operate, type Call } from './operation.js';
import type { WaitOptions } from './requests.js';
import { isRecord, PlanRunner } from './runner.js';
import { errorOf } from './settle.js';

/** What every change to the host alone needs: the world to plan in, the lock, and the run of a plan. */
export class HostSession {
  readonly environment: Environment;
  readonly #runner: PlanRunner;

  constructor(environment: Environment) {
    this.environment = environment;
    this.#runner = new PlanRunner(environment, hostLink());
  }

  /** What the planner may know, around a host as it was just seen. */
  async world(host: HostSnapshot): Promise<HostWorld> {
    const entries = await this.#runner.entries();
    const { bootId } = host;
    return {
      bootId,
      host,
      claim: {
        scope: HOST_SCOPE,
        qemuPid: undefined,
        reservations: await this.#runner.context.reservations.list(),
        quarantine: await this.#runner.quarantine.list(),
      },
      records: entries
        .map(({ progress }) => progress)
        .filter(({ plan: { subject } }) => subject.kind === 'host' && subject.bootId === bootId)
        .filter(isRecord),
      planId: newPlanId(),
    };
  }

  /** Whether a plan could begin now. @throws {RefusedError} */
  async check(plan: HotplugPlan | undefined): Promise<HotplugPlan | undefined> {
    if (plan !== undefined) await this.#runner.check(plan);
    return plan;
  }

  /** Runs a plan to its end; nothing where there is none. Only under the lock. */
  async run(plan: HotplugPlan | undefined): Promise<readonly StepReport[]> {
    if (plan === undefined) return [];
    const result = await this.#runner.start(plan);
    if (result.kind !== 'done') throw errorOf(result);
    return reportSteps(result.progress);
  }

  /**
   * A call that is logged, under the host's lock, after whatever was begun before and not ended; what a VM that has
   * ended holds stands in nobody's way.
   *
   * @throws {InputError} `BAD_ARGUMENT`.
   * @throws {RefusedError} `LOCK_TIMEOUT`, `ABORTED`.
   */
  async exclusively<T>(
    { operation, about }: Omit<Call, 'requestId'>,
    options: WaitOptions,
    work: () => Promise<T>,
  ): Promise<T> {
    const call = { operation, about, requestId: options.requestId };
    const { result } = await operate(this.environment, call, async () => {
      const patience = patienceOf(options, this.environment.clock);
      await recoverEnded(this.environment, new RecoveryReport());
      return this.#runner.exclusively(patience, work);
    });
    return result;
  }
}
