export { createFileStore } from './file-store.js';
export { heldBy, Holds, isHoldOwner, listHolds, type Hold, type HoldsOptions } from './holds.js';
export {
  Interpreter,
  type Boundary,
  type InterpreterOptions,
  type RunResult,
} from './interpreter.js';
export { Journal, type JournalEntry, type JournalLine } from './journal.js';
export {
  acquireLock,
  sweepLocks,
  type AcquireOptions,
  type HeldLock,
  type LockOptions,
} from './lock.js';
export { isOwner, type Liveness, type Owner } from './owner.js';
export {
  reportSteps,
  type Plan,
  type PlanProgress,
  type StepProgress,
  type StepReport,
} from './plan.js';
export { newPlanId } from './plan-id.js';
export { Reservations, conflict, type Reservation } from './reservations.js';
export type { StateStore } from './state-store.js';
export {
  PendingError,
  RollbackError,
  StepError,
  UnknownStateError,
  UnplugRefusedError,
} from './step-errors.js';
export type { Presence, StepData, StepHandler, StepHandlers, Waiting } from './step.js';
