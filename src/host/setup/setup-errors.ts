import {
  reportSteps,
  RollbackError,
  StepError,
  UnknownStateError,
  type RunResult,
} from '../../engine/index.js';
import { QmplugError, RefusedError } from '../../errors.js';
import type { SetupSubject } from './ledger.js';
import type { SetupStep } from './steps.js';

export type SetupResult = RunResult<SetupStep, SetupSubject>;

/** The error for a plan of set-up that did not get done. */
export function setupErrorOf(result: Exclude<SetupResult, { readonly kind: 'done' }>): Error {
  const { plan } = result.progress;
  const steps = reportSteps(result.progress);
  const cause = 'cause' in result ? result.cause : undefined;
  const inherited =
    cause instanceof QmplugError
      ? { remedy: cause.remedy, details: { ...cause.details, code: cause.code } }
      : {};
  switch (result.kind) {
    case 'undone': {
      const touched = result.progress.steps.some((step) => step.forward === 'done');
      if (cause instanceof RefusedError && !touched) return cause;
      const what = `host ${plan.kind} failed and everything was undone: ${textOf(cause)}`;
      return new StepError('STEP_FAILED', what, { cause, ...inherited, steps });
    }
    case 'stopped': {
      const action = plan.steps[result.step]?.action ?? plan.kind;
      if (result.undoFailures.length > 0) {
        const failures = result.undoFailures.map(textOf).join('; ');
        const what = `${textOf(cause)}; the rest was undone, but not ${action}: ${failures}`;
        const remedy = 'mend what it names, then: qmplug host rollback';
        return new RollbackError(what, { cause, remedy, steps, undoFailures: result.undoFailures });
      }
      const what = `${action}: ${textOf(cause)}; the rest is still to do`;
      const remedy = 'mend what it names, then run the same command again';
      return new UnknownStateError('STEP_FAILED', what, { cause, ...inherited, remedy, steps });
    }
    case 'waiting':
    case 'unknown': {
      const action = plan.steps[result.step]?.action ?? plan.kind;
      const remedy = 'look at the host, then run the same command again';
      return new UnknownStateError('STATE_UNKNOWN', `${action}: what it did cannot be told`, {
        cause,
        remedy,
        steps,
      });
    }
  }
}

function textOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
