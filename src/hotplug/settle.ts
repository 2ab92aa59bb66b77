import { reportSteps, type RunResult } from '../engine/index.js';
import { QmplugError, RefusedError } from '../errors.js';
import type { HotplugStep, Subject } from '../plan/steps.js';
import {
  PendingError,
  RollbackError,
  StepError,
  UnknownStateError,
} from '../engine/step-errors.js';

export type HotplugResult = RunResult<HotplugStep, Subject>;

/**
 * The error for a plan that did not get done. A refusal that came before the first effect stays the refusal
 * it is: nothing was changed.
 */
export function errorOf(result: Exclude<HotplugResult, { kind: 'done' }>): Error {
  const { plan } = result.progress;
  const steps = reportSteps(result.progress);
  const recover = recoverCommand(plan.subject);
  switch (result.kind) {
    case 'undone': {
      const { cause } = result;
      const touched = result.progress.steps.some((step) => step.forward === 'done');
      if (cause instanceof RefusedError && !touched) return cause;
      const failed = steps.findIndex(
        (_, index) => result.progress.steps[index]?.forward === 'failed',
      );
      const kind = plan.steps[failed]?.kind ?? plan.kind;
      return new StepError(
        'STEP_FAILED',
        `${kind} failed and everything was undone: ${text(cause)}`,
        {
          ...inherited(cause),
          steps,
        },
      );
    }
    case 'waiting': {
      const undoing = result.cause !== undefined || result.progress.turnedBack !== undefined;
      const what = undoing ? 'undoing it still waits' : 'it still waits';
      return new PendingError('STILL_PENDING', `${plan.kind}: ${what}: ${result.reason}`, {
        cause: result.cause,
        remedy: `nothing was freed; finish it later: ${recover}`,
        steps,
      });
    }
    case 'unknown': {
      const kind = plan.steps[result.step]?.kind ?? plan.kind;
      return new UnknownStateError(
        'STATE_UNKNOWN',
        `${kind}: what it did cannot be told: ${text(result.cause)}`,
        {
          cause: result.cause,
          remedy: `nothing was undone; once it can be read: ${recover}`,
          steps,
        },
      );
    }
    case 'stopped': {
      const kind = plan.steps[result.step]?.kind ?? plan.kind;
      const remedy = `mend what it names, then: ${recover}`;
      if (result.undoFailures.length === 0) {
        return new UnknownStateError(
          'STEP_FAILED',
          `${kind} failed after the commit point; the rest is still to do: ${text(result.cause)}`,
          { cause: result.cause, remedy: remedyOf(result.cause) ?? remedy, steps },
        );
      }
      return new RollbackError(
        `${text(result.cause)}; and undoing ${kind} failed: ${result.undoFailures.map(text).join('; ')}`,
        { cause: result.cause, remedy, steps, undoFailures: result.undoFailures },
      );
    }
  }
}

/** The command that goes on with a plan. */
function recoverCommand(subject: Subject): string {
  return subject.kind === 'host' ? 'qmplug recover' : `qmplug recover ${subject.address}`;
}

function text(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

function remedyOf(cause: unknown): string | undefined {
  return cause instanceof QmplugError ? cause.remedy : undefined;
}

function inherited(cause: unknown) {
  if (!(cause instanceof QmplugError)) return { cause };
  const { code, details } = cause;
  return { cause, remedy: cause.remedy, details: { ...details, code } };
}
