import { refuseOtherDriver, type DriverWish } from '../host/driver-wish.js';
import type { HostSnapshot } from '../host/types.js';
import type { Bdf } from '../pci/pci-address.js';
import { bindSteps } from './bind-steps.js';
import { checkOwner, checkTargets, groupOf, refuseQuarantined } from './checks.js';
import type { Claim } from './claim.js';
import type { HotplugProgress } from './attachment.js';
import { HOST_SCOPE, type BindDriver, type HotplugPlan, type HotplugStep } from './steps.js';

/** Everything the planner may know of a change to the host alone. */
export interface HostWorld {
  readonly bootId: string;
  readonly host: HostSnapshot;
  readonly claim: Claim;
  /** Plans for the host that were done and not taken back, oldest first. */
  readonly records: readonly HotplugProgress[];
  /** A new plan's id. */
  readonly planId: string;
}

/** Functions to be bound for whoever comes for them. */
export interface BindRequest {
  /** In numeric order, at least one. */
  readonly targets: readonly Bdf[];
  /** The VFIO driver for each. */
  readonly drivers: ReadonlyMap<Bdf, string>;
  /** How they were chosen; default `auto`. */
  readonly wish?: DriverWish | undefined;
  readonly allow: ReadonlySet<string>;
}

/**
 * The steps that bind functions to VFIO and leave them so. The group is reserved only while that goes on:
 * afterwards any VM may have it.
 *
 * @returns undefined where all of them are bound by such a plan already, or keep the driver that they have.
 * @throws {RefusedError} whatever speaks against it.
 */
export function planBind(request: BindRequest, world: HostWorld): HotplugPlan | undefined {
  const { host, claim, planId } = world;
  const targets = request.targets.filter((bdf) => {
    const driver = recordOf(bdf, world)?.step.driver;
    if (driver !== undefined) refuseOtherDriver(bdf, driver, request.wish);
    return driver === undefined;
  });
  if (targets.length === 0) return undefined;
  // The functions that are bound already go along in the look at the group.
  checkTargets(request, claim, host);
  if (request.wish === 'keep') return undefined;
  const groups = groupsOf(targets, host);
  const steps: readonly HotplugStep[] = [
    ...groups.map((group) => ({ kind: 'ReserveGroup' as const, group, planId })),
    ...bindSteps({ ...request, targets }, host),
    ...groups.map((group) => ({ kind: 'ReleaseGroup' as const, group, planId })),
  ];
  // What takes is undone where it fails; with the last function bound only the groups are left to free.
  const commitStep = groups.length + targets.length - 1;
  return hostPlan('bind', targets, world, { steps, commitStep });
}

/** A step of a plan for the host that is still in force, with what takes it back. */
export interface KeptStep<S extends HotplugStep = HotplugStep> {
  readonly planId: string;
  /** Its place in that plan. */
  readonly index: number;
  readonly step: S;
  readonly record: unknown;
}

/** Steps of one kind that were done for the host and not taken back, oldest first. */
export function keptSteps<K extends HotplugStep['kind']>(
  records: readonly HotplugProgress[],
  kind: K,
): readonly KeptStep<Extract<HotplugStep, { kind: K }>>[] {
  return records.flatMap(({ plan, steps }) =>
    plan.steps.flatMap((step, index) => {
      const at = steps[index];
      if (step.kind !== kind || at?.forward !== 'done' || at.backward === 'done') return [];
      const kept = step as Extract<HotplugStep, { kind: K }>;
      return [{ planId: plan.id, index, step: kept, record: at.record }];
    }),
  );
}

/** What bound a function for the host; undefined where nothing of ours did. */
export function recordOf(
  bdf: Bdf,
  { records }: Pick<HostWorld, 'records'>,
): KeptStep<BindDriver> | undefined {
  return keptSteps(records, 'BindDriver').find(({ step }) => step.bdf === bdf);
}

/**
 * The steps that give functions back to the drivers they had.
 *
 * @param bindings at least one.
 * @throws {RefusedError} `CONFLICT`, `GROUP_HELD`, `QUARANTINED`.
 */
export function planRelease(
  bindings: readonly KeptStep<BindDriver>[],
  world: HostWorld,
): HotplugPlan {
  const { host, claim, planId } = world;
  const bdfs = bindings.map(({ step }) => step.bdf);
  for (const bdf of bdfs) refuseQuarantined(bdf, claim);
  const groups = [...new Set(bindings.map(({ step }) => step.group))].sort((a, b) => a - b);
  for (const group of groups) checkOwner(group, bdfs, claim, host);
  const steps: readonly HotplugStep[] = [
    ...groups.map((group) => ({ kind: 'ReserveGroup' as const, group, planId })),
    ...bindings.map(({ step: { bdf, group }, record }) => ({
      kind: 'RestoreDriver' as const,
      bdf,
      group,
      record,
    })),
    ...groups.map((group) => ({ kind: 'ReleaseGroup' as const, group, planId })),
    ...bindings.map(({ planId: taker, index }) => ({
      kind: 'ForgetStep' as const,
      planId: taker,
      step: index,
    })),
  ];
  // Once the groups are ours it only goes forward.
  return hostPlan('release', bdfs, world, { steps, commitStep: groups.length - 1 });
}

function groupsOf(targets: readonly Bdf[], host: HostSnapshot): readonly number[] {
  return [...new Set(targets.map((bdf) => groupOf(host, bdf)))].sort((a, b) => a - b);
}

/** A plan for the host alone. @internal */
export function hostPlan(
  kind: string,
  devices: readonly string[],
  { planId, bootId }: HostWorld,
  { steps, commitStep }: { steps: readonly HotplugStep[]; commitStep: number },
): HotplugPlan {
  return {
    id: planId,
    kind,
    scope: HOST_SCOPE,
    subject: { kind: 'host', bootId, devices },
    steps,
    commit: { step: commitStep, at: 'done' },
    snapshotHash: '',
  };
}

const KEPT = [
  'BindDriver',
  'CreateMdev',
  'SetVgpuType',
] as const satisfies readonly HotplugStep['kind'][];

/** Whether anything that a plan for the host did is still in force and has to be asked back. */
export function isKept(progress: HotplugProgress): boolean {
  return KEPT.some((kind) =>
    keptSteps([progress], kind).some(({ step }) => !('type' in step) || step.type !== '0'),
  );
}
