import type { Clock } from '../clock.js';
import { OutcomeUnknownError } from '../errors.js';
import { foldProgress, foldStep, type Journal, type JournalLine } from './journal.js';
import type { Owner } from './owner.js';
import type { Plan, PlanProgress } from './plan.js';
import { isWaiting, type StepData, type StepHandler, type StepHandlers } from './step.js';

/** A moment between two things that a kill can tear apart. */
export interface Boundary {
  readonly planId: string;
  readonly step: number;
  readonly kind: string;
  readonly turn: 'do' | 'undo';
  readonly at: 'before-intent' | 'after-intent' | 'after-effect' | 'after-journal';
}

/** How a run of the interpreter ended. */
export type RunResult<S extends StepData = StepData, T = unknown> = {
  readonly progress: PlanProgress<S, T>;
} & (
  | { readonly kind: 'done' }
  /** Failed before the commit point, and everything was taken back. */
  | { readonly kind: 'undone'; readonly cause: unknown }
  /** Suspended; `drive` waits and goes on. */
  | {
      readonly kind: 'waiting';
      readonly step: number;
      readonly reason: string;
      readonly cause?: unknown;
    }
  /** What a step did could not be read; neither undone nor continued. */
  | { readonly kind: 'unknown'; readonly step: number; readonly cause: unknown }
  /** A step after the commit point, or an undo, failed: work still to do. */
  | {
      readonly kind: 'stopped';
      readonly step: number;
      /** The first failure. */
      readonly cause: unknown;
      /** Failures of undo steps, where it was a rollback that stopped. */
      readonly undoFailures: readonly unknown[];
    }
);

export interface InterpreterOptions<S extends StepData, C> {
  readonly handlers: StepHandlers<S, C>;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly runner: Owner;
  /** Called at every boundary and awaited: where tests kill, and progress is shown. */
  readonly onBoundary?: ((boundary: Boundary) => Promise<void> | void) | undefined;
}

/**
 * Runs any plan: checks it whole, journals each step before and after, rolls back before the commit
 * point, goes on after it, and suspends what waits. Knows no PCI and no QMP.
 */
export class Interpreter<S extends StepData, C> {
  readonly #options: InterpreterOptions<S, C>;

  constructor(options: InterpreterOptions<S, C>) {
    this.#options = options;
  }

  /** Whether the steps could begin now; nothing is written or changed. @throws what a check throws. */
  async check(plan: Plan<S>, context: C): Promise<void> {
    for (const step of plan.steps) await this.#handler(step).check?.(step, context);
  }

  /**
   * Runs a new plan. Nothing is written or changed when a check refuses.
   *
   * @throws what a check throws.
   */
  async start<T>(plan: Plan<S, T>, context: C): Promise<RunResult<S, T>> {
    await this.check(plan, context);
    const { journal, runner } = this.#options;
    await journal.open(plan, runner);
    const run = new Run<S, T, C>(this.#options, context, {
      plan,
      steps: plan.steps.map(() => ({
        forward: 'untouched',
        backward: 'untouched',
        record: undefined,
        ms: 0,
      })),
      committed: false,
      turnedBack: undefined,
      ended: undefined,
    });
    return run.forward();
  }

  /**
   * Goes on with a plan from the journal: forward past the commit point or where it only waited,
   * backward otherwise.
   */
  async resume<T>(progress: PlanProgress<S, T>, context: C): Promise<RunResult<S, T>> {
    const { journal, runner } = this.#options;
    if (progress.ended === 'done') return { kind: 'done', progress };
    if (progress.ended === 'undone')
      return { kind: 'undone', cause: progress.turnedBack, progress };
    await journal.append(progress.plan.id, { runner });
    const run = new Run<S, T, C>(this.#options, context, progress);
    if (progress.turnedBack !== undefined) return run.backward(progress.turnedBack);
    if (progress.committed || progress.steps.some((step) => step.forward === 'waiting')) {
      return run.forward();
    }
    return run.turnBack('interrupted before the commit point');
  }

  /** Waits until a suspended step is worth another try, or the signal fires. */
  async wait(
    progress: PlanProgress<S>,
    index: number,
    context: C,
    signal: AbortSignal,
  ): Promise<void> {
    const step = progress.plan.steps[index];
    if (step !== undefined) await this.#handler(step).wait?.(step, context, signal);
  }

  #handler(step: S): StepHandler<S, C> {
    return handlerOf(this.#options.handlers, step);
  }
}

function handlerOf<S extends StepData, C>(
  handlers: StepHandlers<S, C>,
  step: S,
): StepHandler<S, C> {
  // The table is keyed by kind; TypeScript cannot follow that the entry fits this very step.
  return handlers[step.kind as S['kind']];
}

/** One run of one plan. */
class Run<S extends StepData, T, C> {
  readonly #options: InterpreterOptions<S, C>;
  readonly #context: C;
  #progress: PlanProgress<S, T>;

  constructor(options: InterpreterOptions<S, C>, context: C, progress: PlanProgress<S, T>) {
    this.#options = options;
    this.#context = context;
    this.#progress = progress;
  }

  async forward(): Promise<RunResult<S, T>> {
    for (const [index, step] of this.#progress.plan.steps.entries()) {
      if (this.#progress.steps[index]?.forward === 'done') continue;
      const result = await this.#do(index, step);
      if (result !== undefined) return result;
    }
    await this.#end('done');
    return { kind: 'done', progress: this.#progress };
  }

  async turnBack(cause: unknown): Promise<RunResult<S, T>> {
    const text = cause instanceof Error ? cause.message : String(cause);
    await this.#note({ back: text });
    this.#fold({ turnedBack: text });
    return this.backward(cause);
  }

  async backward(cause: unknown): Promise<RunResult<S, T>> {
    const undoFailures: unknown[] = [];
    for (const [index, step] of [...this.#progress.plan.steps.entries()].reverse()) {
      const at = this.#progress.steps[index];
      if (at === undefined || at.forward === 'untouched' || at.backward === 'done') continue;
      const result = await this.#undo(index, step, cause);
      if (result === undefined) continue;
      if (result.kind !== 'stopped') return result;
      undoFailures.push(...result.undoFailures);
      if (!handlerOf(this.#options.handlers, step).undoIsIndependent) {
        return { ...result, undoFailures };
      }
    }
    if (undoFailures.length > 0) {
      const step = this.#progress.steps.findIndex((at) => at.backward === 'failed');
      return { kind: 'stopped', step, cause, undoFailures, progress: this.#progress };
    }
    await this.#end('undone');
    return { kind: 'undone', cause, progress: this.#progress };
  }

  /** Undefined when the step is done and the next may come. */
  async #do(index: number, step: S): Promise<RunResult<S, T> | undefined> {
    const handler = handlerOf(this.#options.handlers, step);
    const before = this.#progress.steps[index];
    let record = before?.record;
    try {
      if (before?.forward === 'untouched') {
        await this.#boundary(index, step, 'do', 'before-intent');
        record = await handler.prepare?.(step, this.#context);
        await this.#step(index, 'do', 'intended', { record });
        await this.#boundary(index, step, 'do', 'after-intent');
      }
      const { result, ms } = await this.#timed(() => handler.do(step, this.#context, record));
      await this.#boundary(index, step, 'do', 'after-effect');
      if (isWaiting(result)) {
        await this.#step(index, 'do', 'waiting', { ms });
        return { kind: 'waiting', step: index, reason: result.waiting, progress: this.#progress };
      }
      await this.#step(index, 'do', 'done', { ms });
      await this.#boundary(index, step, 'do', 'after-journal');
      return undefined;
    } catch (cause) {
      return this.#failed(index, step, record, cause);
    }
  }

  async #failed(
    index: number,
    step: S,
    record: unknown,
    cause: unknown,
  ): Promise<RunResult<S, T> | undefined> {
    const handler = handlerOf(this.#options.handlers, step);
    const error = cause instanceof Error ? cause.message : String(cause);
    if (cause instanceof OutcomeUnknownError) {
      const presence = await handler.probe(step, this.#context, record);
      if (presence === 'unreadable') {
        await this.#step(index, 'do', 'unknown', { error });
        return { kind: 'unknown', step: index, cause, progress: this.#progress };
      }
      if (presence === 'present') {
        await this.#step(index, 'do', 'done', {});
        return undefined;
      }
    }
    // A step that failed while it was prepared changed nothing and needs no undo.
    const touched = this.#progress.steps[index]?.forward !== 'untouched';
    // Noted before the failure itself: a kill between the two must not lead to an undo either.
    const harmless = touched && handler.changedNothing?.(cause) === true;
    if (harmless) await this.#step(index, 'undo', 'done', {});
    if (touched) await this.#step(index, 'do', 'failed', { error });
    if (this.#progress.committed) {
      return { kind: 'stopped', step: index, cause, undoFailures: [], progress: this.#progress };
    }
    return this.turnBack(cause);
  }

  async #undo(index: number, step: S, cause: unknown): Promise<RunResult<S, T> | undefined> {
    const handler = handlerOf(this.#options.handlers, step);
    const record = this.#progress.steps[index]?.record;
    const progress = () => this.#progress;
    if (handler.undo === undefined) {
      await this.#step(index, 'undo', 'done', {});
      return undefined;
    }
    await this.#boundary(index, step, 'undo', 'before-intent');
    await this.#step(index, 'undo', 'intended', {});
    await this.#boundary(index, step, 'undo', 'after-intent');
    try {
      const { result, ms } = await this.#timed(() => handler.undo?.(step, this.#context, record));
      await this.#boundary(index, step, 'undo', 'after-effect');
      if (isWaiting(result)) {
        await this.#step(index, 'undo', 'waiting', { ms });
        return {
          kind: 'waiting',
          step: index,
          reason: result.waiting,
          cause,
          progress: progress(),
        };
      }
    } catch (failure) {
      const error = failure instanceof Error ? failure.message : String(failure);
      const unknown =
        failure instanceof OutcomeUnknownError &&
        (await handler.probe(step, this.#context, record)) !== 'absent';
      if (unknown) {
        await this.#step(index, 'undo', 'unknown', { error });
        return { kind: 'unknown', step: index, cause: failure, progress: progress() };
      }
      if (!(failure instanceof OutcomeUnknownError)) {
        await this.#step(index, 'undo', 'failed', { error });
        return {
          kind: 'stopped',
          step: index,
          cause,
          undoFailures: [failure],
          progress: progress(),
        };
      }
    }
    await this.#step(index, 'undo', 'done', {});
    await this.#boundary(index, step, 'undo', 'after-journal');
    return undefined;
  }

  async #timed<R>(effect: () => R): Promise<{ result: Awaited<R>; ms: number }> {
    const { clock } = this.#options;
    const startedAt = clock.now();
    const result = await effect();
    return { result, ms: clock.now() - startedAt };
  }

  async #boundary(
    step: number,
    { kind }: S,
    turn: 'do' | 'undo',
    at: Boundary['at'],
  ): Promise<void> {
    const planId = this.#progress.plan.id;
    await this.#options.onBoundary?.({ planId, step, kind, turn, at });
  }

  async #step(
    step: number,
    turn: 'do' | 'undo',
    state: Extract<JournalLine, { readonly step: number }>['state'],
    more: { readonly record?: unknown; readonly ms?: number; readonly error?: string },
  ): Promise<void> {
    const line = { step, turn, state, ...more };
    await this.#note(line);
    this.#fold({ steps: foldStep(this.#progress.steps, line) });
  }

  async #end(end: 'done' | 'undone'): Promise<void> {
    await this.#note({ end });
    this.#fold({ ended: end });
  }

  async #note(line: JournalLine): Promise<void> {
    await this.#options.journal.append(this.#progress.plan.id, line);
  }

  #fold(change: Partial<PlanProgress>): void {
    // The fold keeps the plan itself, so its step and subject types stay.
    this.#progress = foldProgress(this.#progress, change) as PlanProgress<S, T>;
  }
}
