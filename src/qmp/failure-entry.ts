/**
 * What to do after a failure. `permanent`: the same command fails again until somebody changes
 * something. `after-window`: it may succeed a little later. `reconcile`: our picture of the VM is
 * wrong or out of date; look at QOM before anything else.
 */
export type RetryAdvice = 'permanent' | 'after-window' | 'reconcile';

/**
 * One error text of QEMU and its meaning. Nearly every error has the class GenericError, so the
 * text is all there is to go by. `%s` stands for any text and `%d` for a number, as in QEMU's
 * own format strings.
 */
export interface FailureEntry {
  /** Matched whole; the first entry that fits counts. */
  readonly text: string;
  /** Only for these commands; for every command where absent. */
  readonly commands?: readonly string[];
  /** Only with this class; with every class where absent. */
  readonly class?: string;
  /** Our own name for what went wrong. */
  readonly kind: string;
  readonly advice: RetryAdvice;
  /** Where the text is known from; not where it stops being true. */
  readonly versions: string;
  readonly remedy?: string;
}
