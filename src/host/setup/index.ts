export { parseDesiredState, readDesiredState, type DesiredState } from './desired-state.js';
export {
  adoptItem,
  applyHost,
  planHost,
  rollbackHost,
  type ApplyResult,
  type RollbackResult,
} from './host-setup.js';
export { isRefused } from './plan-setup.js';
export type { RefusedItem } from './plan-rollback.js';
export type { DriftState, SetupAction, SetupItem, SetupPlan } from './plan-types.js';
export { createSetupHost, type SetupHostOptions } from './real-setup-host.js';
export type { SetupHost } from './setup-host.js';
export type { SetupEnvironment } from './setup-runner.js';
export type { SetupStep } from './steps.js';
