import {
  ConnectError,
  HostError,
  InputError,
  OutcomeUnknownError,
  PendingError,
  ProtocolError,
  QmplugError,
  RefusedError,
  RollbackError,
  StateError,
  StepError,
  UnknownStateError,
} from '../index.js';

/**
 * What the exit status says:
 *
 *   0 done                            4 failed, undone
 *   1 unexpected                      5 still pending at the deadline
 *   2 usage                           6 state unknown: run recover
 *   3 refused, nothing changed        7 changes pending
 */
export const EXIT = {
  done: 0,
  unexpected: 1,
  usage: 2,
  refused: 3,
  failed: 4,
  pending: 5,
  unknown: 6,
  changesPending: 7,
} as const;

/** The exit status for an error. */
export function exitStatusOf(error: unknown): number {
  if (error instanceof InputError) return EXIT.usage;
  if (error instanceof PendingError) return EXIT.pending;
  if (error instanceof UnknownStateError || error instanceof RollbackError) return EXIT.unknown;
  if (error instanceof OutcomeUnknownError || error instanceof StateError) return EXIT.unknown;
  if (error instanceof StepError) return EXIT.failed;
  return isBeforeAnyChange(error) ? EXIT.refused : EXIT.unexpected;
}

/**
 * Outside a plan nothing but looking is done, and a plan tells of its failures itself: what else comes out was
 * met while looking.
 */
function isBeforeAnyChange(error: unknown): boolean {
  if (error instanceof RefusedError || error instanceof ConnectError) return true;
  if (error instanceof HostError || error instanceof ProtocolError) return true;
  return error instanceof QmplugError && error.details.sent === false;
}

/** For a command that changes nothing: an answer that never came leaves no state unknown. */
export function exitStatusOfLook(error: unknown): number {
  const status = exitStatusOf(error);
  return status === EXIT.unknown ? EXIT.refused : status;
}
