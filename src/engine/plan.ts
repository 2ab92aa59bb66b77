import type { StepData } from './step.js';

/**
 * A change as a list of steps. Before the commit point a failure rolls back in reverse; after it the
 * plan only goes forward.
 */
export interface Plan<S extends StepData = StepData, T = unknown> {
  /** Unique on this host; part of a file name. */
  readonly id: string;
  /** What kind of change: `attach`, `detach`. */
  readonly kind: string;
  /** Whose lock the plan runs under: the VM's key. */
  readonly scope: string;
  /** What the change is about, for those who read the journal; the engine never looks inside. */
  readonly subject: T;
  readonly steps: readonly S[];
  /** The commit point: reached when that step is intended, or when it is done. */
  readonly commit: { readonly step: number; readonly at: 'intended' | 'done' };
  /** Hash of the snapshot the plan was made on. */
  readonly snapshotHash: string;
}

/** Where the plan stands with one step. */
export interface StepProgress {
  readonly forward: 'untouched' | 'intended' | 'done' | 'failed' | 'unknown' | 'waiting';
  readonly backward: 'untouched' | 'intended' | 'done' | 'failed' | 'unknown' | 'waiting';
  /** What `prepare` read, once the step was intended. */
  readonly record: unknown;
  /** Milliseconds the effect took, where it ended in this journal. */
  readonly ms: number;
}

/** What the journal tells of a plan: the fold of its lines. */
export interface PlanProgress<S extends StepData = StepData, T = unknown> {
  readonly plan: Plan<S, T>;
  readonly steps: readonly StepProgress[];
  readonly committed: boolean;
  /** Set once the plan turned back: the text of the first failure. */
  readonly turnedBack: string | undefined;
  readonly ended: 'done' | 'undone' | undefined;
}

/** One line of `steps` in a result. */
export interface StepReport {
  readonly kind: string;
  readonly outcome: 'done' | 'failed' | 'unknown' | 'waiting' | 'undone' | 'untouched';
  readonly ms: number;
}

/** The steps as a result shows them. */
export function reportSteps(progress: PlanProgress): readonly StepReport[] {
  return progress.plan.steps.map((step, index) => {
    const at = progress.steps[index];
    return { kind: step.kind, outcome: outcomeOf(at), ms: at?.ms ?? 0 };
  });
}

function outcomeOf(progress: StepProgress | undefined): StepReport['outcome'] {
  if (progress === undefined) return 'untouched';
  if (progress.backward === 'done') return 'undone';
  if (progress.backward !== 'untouched' && progress.backward !== 'intended') {
    return progress.backward;
  }
  return progress.forward === 'intended' ? 'unknown' : progress.forward;
}
