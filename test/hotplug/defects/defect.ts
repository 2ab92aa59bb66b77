import type { Environment } from '../../../src/hotplug/index.js';
import type { StepContext } from '../../../src/hotplug/context.js';
import { handlers } from '../../../src/hotplug/steps/index.js';
import type { StepHandlers } from '../../../src/engine/index.js';
import { planner, type Planner } from '../../../src/plan/planner.js';
import type { HotplugStep } from '../../../src/plan/steps.js';
import type { Plant } from '../schedules/actors.js';
import type { Schedule } from '../schedules/schedule.js';
import type { Invariant } from '../schedules/violation.js';

/** A mistake that a controller could make, planted to see that the schedules find it. */
export interface Defect {
  readonly name: string;
  readonly caughtBy: readonly Invariant[];
  /** Where it shows: what of each schedule is not left to chance. */
  readonly where: Partial<Schedule>;
  /** Plants it for one schedule; what it remembers lasts as long. */
  plant(): Plant;
}

type Handlers = StepHandlers<HotplugStep, StepContext>;

/** A defect in what a step does: the handlers but for these. */
export function inHandlers(
  name: string,
  caughtBy: readonly Invariant[],
  change: (own: Handlers) => Partial<Handlers>,
  where: Partial<Schedule> = {},
): Defect {
  return {
    name,
    caughtBy,
    where,
    plant: () => {
      const planted = { ...handlers, ...change(handlers) };
      return { environment: (environment) => ({ ...environment, handlers: planted }) };
    },
  };
}

/** A defect in the plans: the planner but for these. */
export function inPlanner(
  name: string,
  caughtBy: readonly Invariant[],
  change: (own: Planner) => Partial<Planner>,
  where: Partial<Schedule> = {},
): Defect {
  return {
    name,
    caughtBy,
    where,
    plant: () => ({
      environment: (environment) => ({
        ...environment,
        planner: { ...planner, ...change(planner) },
      }),
    }),
  };
}

/** A defect in how the journal or the locks are kept. */
export function inStores(
  name: string,
  caughtBy: readonly Invariant[],
  change: (environment: Environment, pid: number) => Partial<Environment>,
  where: Partial<Schedule> = {},
): Defect {
  return {
    name,
    caughtBy,
    where,
    plant: () => ({
      environment: (environment, process) => ({
        ...environment,
        ...change(environment, process.pid),
      }),
    }),
  };
}
