import type { SetupFacts } from './facts.js';
import type { Ledger } from './ledger.js';
import type { PlannedArguments } from './plan-arguments.js';
import type { WantedFile, Wishes } from './wants/index.js';

/** What was decided before the files were looked at. */
export interface SetupDraft {
  readonly facts: SetupFacts;
  readonly wishes: Required<Wishes>;
  readonly ledger: Ledger;
  readonly planned: PlannedArguments;
  readonly files: readonly WantedFile[];
  /** Files whose present content `planSetup` needs. */
  readonly paths: readonly string[];
  readonly holdOrphans: boolean;
}
