import {
  acquireLock,
  Interpreter,
  Journal,
  Reservations,
  type JournalEntry,
} from '../engine/index.js';
import { RefusedError } from '../errors.js';
import { Quarantine } from '../host/quarantine.js';
import { withQuarantine } from '../host/quarantined-effects.js';
import type { HotplugProgress } from '../plan/attachment.js';
import { isKept } from '../plan/plan-host.js';
import { planner, type Planner } from '../plan/planner.js';
import type { HotplugPlan, HotplugStep, Subject } from '../plan/steps.js';
import type { StepContext } from './context.js';
import type { Environment } from './environment.js';
import type { HotplugResult } from './settle.js';
import { RemovalRequests } from './removal-requests.js';
import { lendToken } from './secrets.js';
import { handlers as ownHandlers } from './steps/index.js';
import type { VmLink } from './vm-link.js';

export type HotplugEntry = JournalEntry<HotplugStep, Subject>;

/** Until when a caller waits, and what stops it before. */
export interface Patience {
  /** By the environment's clock. */
  readonly endsAt: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Runs plans for one VM: one at a time under the VM's host-wide lock, waiting outside of it.
 */
export class PlanRunner {
  readonly context: StepContext;
  readonly journal: Journal;
  readonly quarantine: Quarantine;
  readonly planner: Planner;
  readonly #environment: Environment;
  readonly #interpreter: Promise<Interpreter<HotplugStep, StepContext>>;

  constructor(environment: Environment, vm: VmLink) {
    const { effects, state, runtime, clock, logger, liveness, onBoundary } = environment;
    const { handlers = ownHandlers } = environment;
    this.#environment = environment;
    this.planner = environment.planner ?? planner;
    this.journal = new Journal(state);
    this.quarantine = new Quarantine(runtime, liveness);
    this.context = {
      vm,
      removals: new RemovalRequests(vm, clock),
      secrets: new Map(),
      host: withQuarantine(effects, this.quarantine),
      quarantine: this.quarantine,
      reservations: new Reservations(runtime),
      journal: this.journal,
      clock,
      logger,
    };
    this.#interpreter = liveness
      .self()
      .then(
        (runner) => new Interpreter({ handlers, journal: this.journal, clock, runner, onBoundary }),
      );
    // Whoever runs a plan awaits it; without any, a failure must not count as unhandled.
    this.#interpreter.catch(() => undefined);
  }

  /** Runs `work` under the VM's lock. @throws {RefusedError} `LOCK_TIMEOUT`, `ABORTED` */
  async exclusively<T>({ endsAt, signal }: Patience, work: () => Promise<T>): Promise<T> {
    const { runtime, liveness, clock } = this.#environment;
    const lock = await acquireLock(
      `vm-${this.context.vm.key}`,
      { store: runtime, liveness, clock },
      { deadlineMs: Math.max(0, endsAt - clock.now()), signal },
    );
    try {
      return await work();
    } finally {
      // What the work has done stays so, whether the lock's file can be removed or not.
      await lock.release().catch((cause: unknown) => {
        this.context.logger.error({ cause, vm: this.context.vm.key }, 'the lock stays behind');
      });
    }
  }

  /** Whether a plan could begin now; nothing is changed. @throws what a check throws. */
  async check(plan: HotplugPlan): Promise<void> {
    await (await this.#interpreter).check(plan, this.context);
  }

  /**
   * Runs a new plan. Only under the lock.
   *
   * @param vfToken for the steps that ask for one; forgotten when this returns.
   */
  async start(plan: HotplugPlan, vfToken?: string): Promise<HotplugResult> {
    const forget = lendToken(this.context.secrets, plan, vfToken);
    try {
      return await this.#tidy(await (await this.#interpreter).start(plan, this.context));
    } finally {
      forget();
    }
  }

  /** Goes on with a plan of the journal. Only under the lock. */
  async resume({ progress }: HotplugEntry): Promise<HotplugResult> {
    return this.#tidy(await (await this.#interpreter).resume(progress, this.context));
  }

  /** Waits, without the lock, and goes on until the plan ends or patience does. */
  async drive(first: HotplugResult, patience: Patience): Promise<HotplugResult> {
    const { clock } = this.#environment;
    let result = first;
    while (result.kind === 'waiting' && !isOver(patience, clock.now())) {
      const { progress, step } = result;
      await this.#waitAtMost(patience, async (signal) =>
        (await this.#interpreter).wait(progress, step, this.context, signal),
      );
      const resumed = await this.tryExclusively(withGrace(patience, clock.now()), async () => {
        const entry = await this.read(progress.plan.id);
        return entry === undefined ? finishedElsewhere(progress) : this.resume(entry);
      });
      // Somebody is at work on the VM for longer than we may wait: it still waits, and nothing is lost.
      if (resumed === undefined) return result;
      result = withWholeCause(resumed, result);
    }
    return result;
  }

  /** Undefined where the lock cannot be had in time. */
  async tryExclusively<T>(patience: Patience, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await this.exclusively(patience, work);
    } catch (error) {
      if (error instanceof RefusedError && error.code === 'LOCK_TIMEOUT') return undefined;
      throw error;
    }
  }

  /** A plan of ours as the journal has it. */
  async read(planId: string): Promise<HotplugEntry | undefined> {
    return (await this.journal.read(planId)) as HotplugEntry | undefined;
  }

  /** The plans of this VM, or of the host alone, oldest first. */
  async entries(): Promise<readonly HotplugEntry[]> {
    return (await this.journal.listOf(this.context.vm.key)) as readonly HotplugEntry[];
  }

  /** What has ended leaves the journal, but for what is still in the world because of it. */
  async #tidy(result: HotplugResult): Promise<HotplugResult> {
    const { plan } = result.progress;
    const over = result.kind === 'undone' || (result.kind === 'done' && !isRecord(result.progress));
    if (over) await this.journal.forget(plan.id);
    return result;
  }

  async #waitAtMost(
    { endsAt, signal }: Patience,
    wait: (signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const { clock } = this.#environment;
    const stop = new AbortController();
    const abort = () => {
      stop.abort();
    };
    const cancel = clock.after(Math.max(0, endsAt - clock.now()), abort);
    signal?.addEventListener('abort', abort);
    try {
      await wait(stop.signal);
    } finally {
      cancel();
      signal?.removeEventListener('abort', abort);
    }
  }
}

/** Someone else waited too. */
function finishedElsewhere(progress: HotplugProgress): HotplugResult {
  const { turnedBack } = progress;
  if (turnedBack === undefined) return { kind: 'done', progress };
  return { kind: 'undone', cause: turnedBack, progress };
}

/** The journal has only the words of a cause; who saw it fail keeps the error itself. */
function withWholeCause(resumed: HotplugResult, before: HotplugResult): HotplugResult {
  const goesBack = resumed.kind === 'undone' || resumed.kind === 'waiting';
  if (!goesBack || !('cause' in before) || typeof resumed.cause !== 'string') return resumed;
  return { ...resumed, cause: before.cause };
}

// The last look at the deadline must not fail on the lock's own deadline.
const GRACE_MS = 2_000;

function withGrace(patience: Patience, now: number): Patience {
  return { endsAt: Math.max(patience.endsAt, now + GRACE_MS), signal: undefined };
}

function isOver({ endsAt, signal }: Patience, now: number): boolean {
  return now >= endsAt || signal?.aborted === true;
}

/** Whether a plan that is done stays in the journal: an attachment, or what was done for the host. */
export function isRecord(progress: HotplugProgress): boolean {
  const { kind, subject } = progress.plan;
  return subject.kind === 'host' ? isKept(progress) : kind === 'attach';
}

/** Whether an attach is being undone: what it has put into the VM is on its way out. */
export function isTakenBack({ plan, turnedBack }: HotplugProgress): boolean {
  return plan.subject.kind === 'attach' && turnedBack !== undefined;
}
