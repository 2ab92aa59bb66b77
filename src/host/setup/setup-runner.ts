import type { Clock } from '../../clock.js';
import {
  acquireLock,
  Interpreter,
  Journal,
  newPlanId,
  type Boundary,
  type Liveness,
  type Plan,
  type StateStore,
} from '../../engine/index.js';
import { HostNotReadyError, RefusedError } from '../../errors.js';
import type { HostEffects } from '../effects.js';
import { handlers, type SetupContext } from './handlers/index.js';
import { foldLedger, isEmpty, type Ledger, type SetupEntry, type SetupSubject } from './ledger.js';
import { setupErrorOf, type SetupResult } from './setup-errors.js';
import type { SetupHost } from './setup-host.js';
import type { SetupStep } from './steps.js';

/** Everything that host set-up needs of the outside. */
export interface SetupEnvironment {
  readonly host: SetupHost;
  /** The kernel's own trees. */
  readonly effects: HostEffects;
  /** The journal: a durable store outside of the operating system's image. */
  readonly state: StateStore;
  /** Locks, host-wide. */
  readonly runtime: StateStore;
  readonly liveness: Liveness;
  readonly clock: Clock;
  readonly onBoundary?: ((boundary: Boundary) => Promise<void> | void) | undefined;
}

export type SetupPlanKind = 'apply' | 'rollback' | 'adopt';

/** Longest that one set-up command waits for another: an initramfs takes minutes. */
const LOCK_DEADLINE_MS = 15_000;

/** Runs plans of set-up, one at a time, through the engine's interpreter and a journal that outlives reboots. */
export class SetupRunner {
  readonly #environment: SetupEnvironment;
  readonly #journal: Journal;
  readonly #subject: SetupSubject;

  constructor(environment: SetupEnvironment, subject: SetupSubject) {
    this.#environment = environment;
    this.#journal = new Journal(environment.state);
    this.#subject = subject;
  }

  /** @throws {RefusedError} `LOCK_TIMEOUT`, `ABORTED` */
  async exclusively<T>(work: () => Promise<T>): Promise<T> {
    const { runtime, liveness, clock } = this.#environment;
    const lock = await acquireLock(
      'host-setup',
      { store: runtime, liveness, clock },
      { deadlineMs: LOCK_DEADLINE_MS },
    );
    try {
      return await work();
    } finally {
      await lock.release();
    }
  }

  /** Every plan of this machine, oldest first. @throws {RefusedError} `OTHER_MACHINE` */
  async entries(): Promise<readonly SetupEntry[]> {
    const entries = (await this.#journal.list()) as readonly SetupEntry[];
    const stranger = entries.find(
      ({ progress }) => progress.plan.subject.machineId !== this.#subject.machineId,
    );
    if (stranger === undefined) return entries;
    const { machineId } = stranger.progress.plan.subject;
    throw new RefusedError(
      'OTHER_MACHINE',
      `the journal in ${this.#journal.location} is of machine ${machineId || '(an image)'}, not of this one`,
      {
        remedy: `if this disk was copied from there, begin anew: rm -r ${this.#journal.location}`,
        details: { journal: this.#journal.location, machineId },
      },
    );
  }

  async ledger(): Promise<Ledger> {
    return foldLedger(await this.entries());
  }

  /** Plans that a kill or a failure left in the middle. */
  async open(): Promise<readonly SetupEntry[]> {
    return (await this.entries()).filter(({ progress }) => progress.ended === undefined);
  }

  /**
   * Ends what was left in the middle: an apply is undone, a rollback finished. What somebody else has changed
   * meanwhile stays as it is and ours, for the next plan to tell. Only under the lock.
   */
  async settle(): Promise<void> {
    await this.#environment.state.sweep();
    for (const { progress } of await this.open()) {
      const result = await (await this.#interpreter()).resume(progress, this.#context());
      await this.#finish(result);
    }
  }

  /** Runs a new plan. Only under the lock. @throws what did not get done. */
  async run(kind: SetupPlanKind, steps: readonly SetupStep[], hash: string): Promise<SetupResult> {
    const plan: Plan<SetupStep, SetupSubject> = {
      id: newPlanId(),
      kind,
      scope: 'host',
      subject: this.#subject,
      steps,
      // What is half applied is undone; what is half rolled back goes on.
      commit:
        kind === 'apply' ? { step: steps.length - 1, at: 'done' } : { step: 0, at: 'intended' },
      snapshotHash: hash,
    };
    const result = await (await this.#interpreter()).start(plan, this.#context());
    await this.#finish(result);
    if (result.kind !== 'done') throw setupErrorOf(result);
    return result;
  }

  /** Forgets every plan once nothing of ours is left. Only under the lock. */
  async tidy(): Promise<void> {
    const entries = await this.entries();
    if (!isEmpty(foldLedger(entries))) return;
    for (const { progress } of entries) await this.#journal.forget(progress.plan.id);
  }

  /** @throws what did not get done and cannot be left so. */
  async #finish(result: SetupResult): Promise<void> {
    const { id } = result.progress.plan;
    if (result.kind === 'undone') {
      await this.#journal.forget(id);
      return;
    }
    if (result.kind === 'done') return;
    if (result.kind !== 'stopped') throw setupErrorOf(result);
    const failures = result.undoFailures.length > 0 ? result.undoFailures : [result.cause];
    if (!failures.every((failure) => failure instanceof HostNotReadyError))
      throw setupErrorOf(result);
    // It would fail the same way for ever: what is left of it is the ledger's.
    await this.#journal.append(id, { end: 'done' });
  }

  async #interpreter(): Promise<Interpreter<SetupStep, SetupContext>> {
    const { clock, onBoundary, liveness } = this.#environment;
    const runner = await liveness.self();
    return new Interpreter({ handlers, journal: this.#journal, clock, runner, onBoundary });
  }

  #context(): SetupContext {
    return { host: this.#environment.host };
  }
}
