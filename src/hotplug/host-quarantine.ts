import { reportSteps, type Liveness, type StepReport } from '../engine/index.js';
import { RefusedError } from '../errors.js';
import { findDeath } from '../host/device-life.js';
import { isBdfName } from '../host/class-devices.js';
import type { HostEffects } from '../host/effects.js';
import { isMdevUuid } from '../host/mdev-name.js';
import { readGroups } from '../host/inventory.js';
import { readGroupNumber } from '../host/pci-function.js';
import { readBootId } from '../host/process.js';
import { Quarantine, quarantined, type QuarantineEntry } from '../host/quarantine.js';
import { toBdf } from '../pci/pci-address.js';
import { HOST_SCOPE, type HotplugPlan, type HotplugStep } from '../plan/steps.js';
import type { Environment } from './environment.js';
import { hostLink } from './live-link.js';
import { newPlanId } from '../engine/plan-id.js';
import { operate } from './operation.js';
import { patienceOf } from './patience.js';
import type { WaitOptions } from './requests.js';
import { PlanRunner } from './runner.js';
import { errorOf } from './settle.js';

/** The devices that nobody may touch, by name. */
export async function listQuarantine({
  runtime,
  liveness,
}: Environment): Promise<readonly QuarantineEntry[]> {
  return new Quarantine(runtime, liveness).list();
}

export interface QuarantineRelease {
  /** As the quarantine names it. */
  readonly device: string;
  /** Whether there was nothing to lift. */
  readonly already: boolean;
  readonly steps: readonly StepReport[];
}

/**
 * Takes a device out of quarantine once that is safe: nothing is under way on it any more, and it answers, or
 * has left the bus. A device that still has to go back to a driver goes there.
 *
 * @param device an address, or the UUID of an mdev.
 * @throws {InputError} `BAD_BDF` for what is neither; `BAD_ARGUMENT`.
 * @throws {RefusedError} `QUARANTINED` where it is not safe yet; nothing was changed.
 * @throws {StepError} the driver did not take it; it is in quarantine again.
 */
export async function releaseFromQuarantine(
  environment: Environment,
  device: string,
  options: WaitOptions = {},
): Promise<QuarantineRelease> {
  const name = canonicalName(device);
  const call = { operation: 'host quarantine release', about: name, requestId: options.requestId };
  return (await operate(environment, call, () => lift(environment, name, options))).result;
}

async function lift(
  environment: Environment,
  name: string,
  options: WaitOptions,
): Promise<QuarantineRelease> {
  const { effects, liveness, clock } = environment;
  const runner = new PlanRunner(environment, hostLink());
  return runner.exclusively(patienceOf(options, clock), async () => {
    const entry = (await runner.quarantine.list()).find((each) => each.device === name);
    if (entry === undefined) return { device: name, already: true, steps: [] };
    await refuseUnsafe(entry, effects, liveness);
    const result = await runner.start(await planLift(entry, effects));
    if (result.kind !== 'done') throw errorOf(result);
    return { device: name, already: false, steps: reportSteps(result.progress) };
  });
}

/** A device that has left the bus is named by its address alone, so no look at the host is needed. */
function canonicalName(text: string): string {
  return isMdevUuid(text) ? text.toLowerCase() : toBdf(text);
}

async function refuseUnsafe(
  entry: QuarantineEntry,
  effects: HostEffects,
  liveness: Liveness,
): Promise<void> {
  const { worker, device } = entry;
  if (worker !== null) {
    const alive = await liveness.isAlive(worker);
    if (!alive.known || alive.value) throw quarantined(entry);
  }
  if (!isBdfName(device)) return;
  const death = await findDeath(effects, device);
  const evidence = death.known ? death.value : death.reason;
  if (evidence === undefined) return;
  throw new RefusedError('QUARANTINED', `${device} stays in quarantine: ${evidence}`, {
    remedy:
      `reset or replace it; or take it off the bus: echo 1 > /sys/bus/pci/devices/${device}/remove; ` +
      `then again: qmplug host quarantine release ${device}`,
    details: { device, why: 'dead' },
  });
}

async function planLift(
  { device, binding }: QuarantineEntry,
  effects: HostEffects,
): Promise<HotplugPlan> {
  const planId = newPlanId();
  const group = binding === null ? undefined : await readGroupNumber(effects, binding.bdf);
  const members =
    group === undefined ? [] : ((await readGroups(effects)).get(group)?.members ?? []);
  const way: readonly HotplugStep[] =
    binding === null || group === undefined
      ? []
      : [
          { kind: 'ReserveGroup', group, planId },
          { kind: 'RestoreDriver', bdf: binding.bdf, group, record: { binding, members } },
          { kind: 'ReleaseGroup', group, planId },
        ];
  const steps: readonly HotplugStep[] = [{ kind: 'LiftQuarantine', device }, ...way];
  return {
    id: planId,
    kind: 'lift',
    scope: HOST_SCOPE,
    subject: { kind: 'host', bootId: await readBootId(effects), devices: [device] },
    steps,
    commit: { step: steps.length - 1, at: 'done' },
    snapshotHash: '',
  };
}
