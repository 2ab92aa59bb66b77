export type { Departure } from './departure.js';
export {
  createEnvironment,
  DEFAULT_RUN_DIR,
  type Environment,
  type EnvironmentOptions,
} from './environment.js';
export {
  PendingError,
  RollbackError,
  StepError,
  UnknownStateError,
  UnplugRefusedError,
} from '../engine/index.js';
export {
  HostControl,
  type BindDevicesRequest,
  type BindResult,
  type BoundFunction,
  type ReleaseDevicesRequest,
  type ReleasedFunction,
  type ReleaseResult,
  type SetVfsRequest,
  type SetVfsResult,
} from './host-control.js';
export {
  MdevControl,
  type CreateMdevRequest,
  type MadeDevice,
  type MdevFramework,
  type MdevIdentity,
  type MdevListing,
  type MdevResult,
  type OfferedType,
} from './mdev-control.js';
export {
  listQuarantine,
  releaseFromQuarantine,
  type QuarantineRelease,
} from './host-quarantine.js';
export type { Answered, RequestReport } from './operation.js';
export { recoverHost } from './recover-host.js';
export type {
  AttachBatchRequest,
  AttachEmulated,
  AttachHostDevice,
  AttachmentReport,
  AttachPreview,
  AttachRequest,
  AttachResult,
  AttachWarning,
  BarReport,
  BatchEntry,
  BatchPreviewEntry,
  DeviceChoice,
  DetachOptions,
  DetachResult,
  FunctionReport,
  RecoveryItem,
  RecoveryResult,
  RemovalReport,
  RemovalState,
  RouteReport,
  WaitOptions,
} from './requests.js';
export type { AttachmentStatus, PortStatus, VmStatus } from './status.js';
export { openVm, type OpenVmOptions } from './open-vm.js';
export { Vm } from './vm.js';
export { changesBetween, watchVm, type VmNews, type WatchOptions } from './watch-vm.js';
export type { VmLink } from './vm-link.js';
