/**
 * A step of a plan: plain data, so that a dry run, the journal and a recovery in another process
 * see the same thing. What a kind of step does is its handler's business.
 */
export interface StepData {
  readonly kind: string;
}

/**
 * What the world says of a step's effect. `unreadable` permits neither undo nor progress.
 */
export type Presence = 'absent' | 'present' | 'unreadable';

/** A step (or an undo) that cannot finish yet; the plan is suspended and nothing is held. */
export interface Waiting {
  readonly waiting: string;
}

/**
 * What one kind of step does to the world. `C` is whatever the handlers need of the outside; `R` is
 * what the step must remember to be undone exactly, as JSON.
 *
 * Every method may run again after a kill at any point, in another process: `do` on an effect that
 * is already there finishes it, `undo` on one that is half there or gone restores the rest.
 */
export interface StepHandler<S extends StepData, C, R = unknown> {
  /** Refuses what can be refused before anything changes. @throws {RefusedError} */
  check?(step: S, context: C): Promise<void>;
  /** Reads what the world was before; journaled before `do` and handed to `do` and `undo`. */
  prepare?(step: S, context: C): Promise<R>;
  do(step: S, context: C, record: R | undefined): Promise<Waiting | void>;
  /** Takes the effect back. Absent where there is nothing to take back. */
  undo?(step: S, context: C, record: R | undefined): Promise<Waiting | void>;
  /**
   * Whether a `do` that failed with this cause is known to have changed nothing. Then `undo` is not called: what it
   * would find in the world is somebody else's.
   */
  changedNothing?(cause: unknown): boolean;
  /** Whether the effect of `do` is in the world. Never throws for what it could not read. */
  probe(step: S, context: C, record: R | undefined): Promise<Presence>;
  /**
   * Waits, outside lock and queue, until it is worth trying again or `signal` fires. Only for steps
   * whose `do` or `undo` can wait.
   */
  wait?(step: S, context: C, signal: AbortSignal): Promise<void>;
  /** Whether a rollback goes on to the steps before this one although its undo failed. */
  readonly undoIsIndependent?: boolean;
}

/** A handler for every kind of step, so that a plan can be run whole. */
export type StepHandlers<S extends StepData, C> = {
  readonly [K in S['kind']]: StepHandler<Extract<S, { readonly kind: K }>, C>;
};

export function isWaiting(result: Waiting | void): result is Waiting {
  return result !== undefined;
}
