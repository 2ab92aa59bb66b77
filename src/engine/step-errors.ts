import { QmplugError, type ErrorCode, type ErrorDetail } from '../errors.js';
import type { StepReport } from './plan.js';

/** What a failed or unfinished plan says besides its error. */
interface PlanDetail extends ErrorDetail {
  /** Every step and how it ended. */
  readonly steps?: readonly StepReport[] | undefined;
}

/** A plan step failed. */
export class StepError extends QmplugError {
  /** Every step and how it ended; those undone say so. */
  readonly steps: readonly StepReport[];

  constructor(code: ErrorCode, message: string, detail: PlanDetail = {}) {
    super(code, message, detail);
    this.steps = detail.steps ?? [];
  }
}

/** The guest declined to release a device: DEVICE_UNPLUG_GUEST_ERROR for this id. */
export class UnplugRefusedError extends StepError {}

/** An undo failed too. `cause` is the first failure; the failed undos stand beside it. */
export class RollbackError extends StepError {
  readonly undoFailures: readonly unknown[];

  constructor(message: string, detail: PlanDetail & { readonly undoFailures: readonly unknown[] }) {
    super('ROLLBACK_FAILED', message, detail);
    this.undoFailures = detail.undoFailures;
  }
}

/** Still under way at the deadline. Nothing was freed, and a later command goes on. */
export class PendingError extends StepError {}

/** What a step did could not be read. Nothing was undone or continued; run recover. */
export class UnknownStateError extends StepError {}
