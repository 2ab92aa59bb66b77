import { reportSteps, type StepReport } from '../engine/index.js';
import { InputError, RefusedError } from '../errors.js';
import { lookCloser, readHostSnapshot } from '../host/inventory.js';
import { isVfioDriver } from '../host/vfio-drivers.js';
import { parseSelector, selectDevice } from '../host/selector/index.js';
import type { HostDevice, HostSnapshot } from '../host/types.js';
import type { Bdf } from '../pci/pci-address.js';
import { checkOwner } from '../plan/checks.js';
import type { Members } from '../plan/members.js';
import { planBind, planRelease, recordOf, type HostWorld } from '../plan/plan-host.js';
import { HOST_SCOPE, type HotplugPlan } from '../plan/steps.js';
import type { Environment } from './environment.js';
import { hostLink } from './live-link.js';
import { newPlanId } from '../engine/plan-id.js';
import { recoverEnded, RecoveryReport } from './reconcile.js';
import type { WaitOptions } from './requests.js';
import { resolveFunctions } from './resolve.js';
import { isRecord, PlanRunner } from './runner.js';
import { errorOf } from './settle.js';

export interface BindDevicesRequest {
  /** Each an address, for example `0000:3b:00.0`; at least one. */
  readonly devices: readonly string[];
  /** What goes with each; default `device`. */
  readonly members?: Members | undefined;
  /** Reasons that may be passed over, each by its name. */
  readonly allow?: readonly string[] | undefined;
}

/** A function that is bound to VFIO for whoever comes for it. */
export interface BoundFunction {
  readonly bdf: Bdf;
  readonly group: number;
  readonly driver: string;
  /** Whether an earlier call bound it. */
  readonly already: boolean;
}

export interface BindResult {
  readonly bound: readonly BoundFunction[];
  readonly steps: readonly StepReport[];
}

/** `released` by this call; `already` where there was nothing of ours to give back. */
export interface ReleasedFunction {
  readonly bdf: string;
  readonly state: 'released' | 'already';
  /** The driver it has now. */
  readonly driver: string | undefined;
}

export interface ReleaseResult {
  readonly released: readonly ReleasedFunction[];
  readonly steps: readonly StepReport[];
}

const DEFAULT_TIMEOUT_MS = 15_000;

/** The host by itself: what is done here stays until it is asked back, or the host reboots. */
export class HostControl {
  readonly #environment: Environment;
  readonly #runner: PlanRunner;

  constructor(environment: Environment) {
    this.#environment = environment;
    this.#runner = new PlanRunner(environment, hostLink());
  }

  /** The steps that `bind` would run now; undefined where everything is bound so already. */
  async planBind(request: BindDevicesRequest): Promise<HotplugPlan | undefined> {
    checkNames(request.devices);
    const { plan } = await this.#planBind(request);
    if (plan !== undefined) await this.#runner.check(plan);
    return plan;
  }

  /**
   * Binds functions to VFIO, all or none, and leaves them so: for a VM that is about to be started, or to have
   * them ready. They are not reserved; any VM may have them.
   *
   * @throws {RefusedError} nothing was changed.
   * @throws {StepError} a step failed and everything was undone.
   * @throws {RollbackError} {UnknownStateError} there is something left to `recover`.
   */
  async bind(request: BindDevicesRequest, options: WaitOptions = {}): Promise<BindResult> {
    checkNames(request.devices);
    return this.#exclusively(options, async () => {
      const { plan, world, targets } = await this.#planBind(request);
      const steps = plan === undefined ? [] : await this.#run(plan);
      const { devices } = await readHostSnapshot(this.#environment.effects);
      return {
        steps,
        bound: targets.map((bdf) => ({
          bdf,
          group: devices.get(bdf)?.iommuGroup ?? -1,
          driver: devices.get(bdf)?.driver ?? '',
          already: recordOf(bdf, world) !== undefined,
        })),
      };
    });
  }

  /** The steps that `release` would run now; undefined where there is nothing of ours to give back. */
  async planRelease(devices: readonly string[]): Promise<HotplugPlan | undefined> {
    checkNames(devices);
    const { plan } = await this.#planRelease(devices);
    if (plan !== undefined) await this.#runner.check(plan);
    return plan;
  }

  /**
   * Gives functions that `bind` took back to the drivers they had. What is not ours, or gone, is left alone.
   *
   * @throws {RefusedError} `CONFLICT`, `GROUP_HELD`: a VM has it; `NOT_OURS`: somebody else bound it to VFIO.
   * @throws {UnknownStateError} there is something left to `recover`.
   */
  async release(devices: readonly string[], options: WaitOptions = {}): Promise<ReleaseResult> {
    checkNames(devices);
    return this.#exclusively(options, async () => {
      const { plan, ours, others } = await this.#planRelease(devices);
      const steps = plan === undefined ? [] : await this.#run(plan);
      const after = (await readHostSnapshot(this.#environment.effects)).devices;
      const report =
        (state: ReleasedFunction['state']) =>
        (bdf: Bdf): ReleasedFunction => ({ bdf, state, driver: after.get(bdf)?.driver });
      return {
        steps,
        released: [...ours.map(report('released')), ...others.map(report('already'))],
      };
    });
  }

  async #planBind({ devices, members = 'device', allow = [] }: BindDevicesRequest) {
    const asking = { vmPid: undefined, scope: HOST_SCOPE, allow };
    const { targets, drivers, host } = await resolveFunctions(
      devices,
      members,
      this.#environment,
      asking,
    );
    const world = await this.#world(host);
    const plan = planBind({ targets, drivers, allow: new Set(allow) }, world);
    return { plan, world, targets };
  }

  async #planRelease(devices: readonly string[]) {
    const { effects, runtime } = this.#environment;
    const chosen: Bdf[] = [];
    for (const device of devices) {
      chosen.push(await selectDevice({ effects, runtime }, device, { guarded: false }));
    }
    const first = await readHostSnapshot(effects);
    const groups = chosen.flatMap((bdf) => first.devices.get(bdf)?.iommuGroup ?? []);
    const host = await lookCloser(effects, first, { holders: [...new Set(groups)] });
    const world = await this.#world(host);
    const bdfs = [...new Set(chosen)];
    const bindings = bdfs.flatMap((bdf) => recordOf(bdf, world) ?? []);
    const ours = bindings.map(({ step }) => step.bdf);
    const others = bdfs.filter((bdf) => !ours.includes(bdf));
    for (const bdf of others) refuseForeign(host.devices.get(bdf), world);
    return {
      plan: bindings.length === 0 ? undefined : planRelease(bindings, world),
      ours,
      others,
    };
  }

  async #world(host: HostSnapshot): Promise<HostWorld> {
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

  async #run(plan: HotplugPlan): Promise<readonly StepReport[]> {
    const result = await this.#runner.start(plan);
    if (result.kind !== 'done') throw errorOf(result);
    return reportSteps(result.progress);
  }

  /** After whatever was begun before and not ended; what a VM that has ended holds stands in nobody's way. */
  async #exclusively<T>(
    { timeoutMs = DEFAULT_TIMEOUT_MS, signal }: WaitOptions,
    work: () => Promise<T>,
  ): Promise<T> {
    await recoverEnded(this.#environment, new RecoveryReport());
    const endsAt = this.#environment.clock.now() + timeoutMs;
    return this.#runner.exclusively({ endsAt, signal }, work);
  }
}

/** What can be told of the names alone, before anything is opened or locked. */
function checkNames(devices: readonly string[]): void {
  for (const device of devices) parseSelector(device);
  if (devices.length > 0) return;
  throw new InputError('BAD_ARGUMENT', 'No device is named', {
    remedy: 'name at least one, for example 0000:3b:00.0',
  });
}

/** On VFIO without a record of ours: what it had before is not ours to know. */
function refuseForeign(device: HostDevice | undefined, { claim, host }: HostWorld): void {
  if (device?.driver === undefined || !isVfioDriver(device.driver)) return;
  const { bdf, driver, iommuGroup } = device;
  // A VM that has it says more than how it is bound.
  if (iommuGroup !== undefined) checkOwner(iommuGroup, [bdf], claim, host);
  throw new RefusedError('NOT_OURS', `${bdf} is on ${driver}, and qmplug did not bind it there`, {
    remedy: `whoever did has to take it back, for example: driverctl unset-override ${bdf}`,
    details: { device: bdf, driver },
  });
}
