import { isAbsolute } from 'node:path';
import { systemClock, type Clock } from '../clock.js';
import {
  createFileStore,
  type Boundary,
  type Liveness,
  type StateStore,
  type StepHandlers,
} from '../engine/index.js';
import { InputError } from '../errors.js';
import type { HostEffects } from '../host/effects.js';
import type { HostRoots } from '../host/roots.js';
import { createHostEffects } from '../host/real-effects.js';
import { createLiveness } from '../host/process.js';
import { silentLogger, type Logger } from '../logger.js';
import type { Planner } from '../plan/planner.js';
import type { HotplugStep } from '../plan/steps.js';
import type { StepContext } from './context.js';

/** Where locks and reservations are on every host, whatever the state directory is. */
export const DEFAULT_RUN_DIR = '/run/qmplug';

/** Everything the engine needs of the outside. Each part can be another's: nothing else is touched. */
export interface Environment {
  readonly effects: HostEffects;
  readonly liveness: Liveness;
  /** The journal. */
  readonly state: StateStore;
  /** Locks and reservations, shared by everyone on this host. */
  readonly runtime: StateStore;
  /** What selectors meant the last time, which a reboot does not end; without it nothing is compared. */
  readonly answers?: StateStore | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Names a request that came without an id; default by time and chance. */
  readonly newRequestId?: (() => string) | undefined;
  /** Called at every step boundary and awaited. */
  readonly onBoundary?: ((boundary: Boundary) => Promise<void> | void) | undefined;
  /** @internal What each kind of step does, where a test plants a defect in it. */
  readonly handlers?: StepHandlers<HotplugStep, StepContext> | undefined;
  /** @internal Who makes the plans, where a test plants a defect in them. */
  readonly planner?: Planner | undefined;
}

export interface EnvironmentOptions {
  /** Where the journal is kept; default `/run/qmplug`. */
  readonly stateDir?: string | undefined;
  /** Where locks and reservations are kept; default `/run/qmplug`. Only a test names another. */
  readonly runDir?: string | undefined;
  /** Where it is kept what selectors meant the last time; left out, nothing is. */
  readonly answersDir?: string | undefined;
  /** Trees that stand in for /sys, /proc and /dev, for reading. */
  readonly roots?: Partial<HostRoots> | undefined;
  readonly logger?: Logger | undefined;
  readonly onBoundary?: Environment['onBoundary'];
}

/**
 * This host as it is.
 *
 * @throws {InputError} `BAD_ARGUMENT` for a directory that is no absolute path.
 */
export function createEnvironment(options: EnvironmentOptions = {}): Environment {
  const { stateDir = DEFAULT_RUN_DIR, runDir = DEFAULT_RUN_DIR, roots, onBoundary } = options;
  const { answersDir } = options;
  checkDirectory('state directory', stateDir);
  checkDirectory('run directory', runDir);
  if (answersDir !== undefined) checkDirectory('directory of answers', answersDir);
  const effects = createHostEffects({ roots });
  return {
    effects,
    liveness: createLiveness(effects),
    state: createFileStore(stateDir),
    runtime: createFileStore(runDir),
    answers: answersDir === undefined ? undefined : createFileStore(answersDir),
    clock: systemClock,
    logger: options.logger ?? silentLogger,
    onBoundary,
  };
}

/** A relative one would be another for each working directory, and so no record shared by all. */
function checkDirectory(what: string, path: string): void {
  if (isAbsolute(path) && !path.includes('\0')) return;
  throw new InputError(
    'BAD_ARGUMENT',
    `The ${what} must be an absolute path, not ${JSON.stringify(path)}`,
    {
      remedy: 'for example /run/qmplug',
    },
  );
}
