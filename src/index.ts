export {
  bootPlanToJson,
  DEFAULT_PORT_LIMIT,
  planBoot,
  type BootPlan,
  type BootRequest,
  type Firmware,
  type PlannedPort,
  type PlannedWindow,
} from './boot/index.js';
export type { Clock } from './clock.js';
export {
  createFileStore,
  Holds,
  isHoldOwner,
  type Boundary,
  type Hold,
  type StepReport,
} from './engine/index.js';
export * from './errors.js';
export {
  claimOn,
  createHostEffects,
  explainSelector,
  findCulprits,
  formatPin,
  formatShort,
  formatStructured,
  isMdevUuid,
  isUnicastMac,
  parsePin,
  parseRequest,
  parseSelector,
  pinDevice,
  planBinding,
  readCandidates,
  readHostSnapshot,
  readPciNames,
  readPolicyFile,
  recordReads,
  rememberReads,
  reserveDevices,
  reserveWhenFree,
  resolveSelector,
  rootOf,
  rulesFor,
  scrubReads,
  selectDevice,
  topologyPathOf,
  type Candidate,
  type CandidateSet,
  type DeviceRecord,
  type DriverWish,
  type Explanation,
  type GroupCulprit,
  type HostDevice,
  type HostEffects,
  type HostSnapshot,
  type IommuGroup,
  type MdevRecord,
  type NumaMode,
  type PciNames,
  type Pin,
  type PlannedBinding,
  type RecordedRead,
  type Rejection,
  type ReserveHost,
  type ReserveWish,
  type Resolution,
  type ResolveOptions,
  type Rule,
  type SelectionHost,
  type SelectorRequest,
  type SelectOptions,
  type QuarantineEntry,
  type Tenant,
  type UseFinding,
  type VfChange,
  type VfSettings,
  type VfioHolder,
} from './host/index.js';
export * from './hotplug/index.js';
export { isJsonObject, parseJson, stringifyJson, type JsonObject, type JsonValue } from './json.js';
export type { Known } from './known.js';
export type { Logger } from './logger.js';
export {
  compareBdf,
  formatGuestPath,
  formatSize,
  parseSize,
  type Bar,
  type Bdf,
  type GuestPath,
} from './pci/index.js';
export { deviceOf } from './plan/added-device.js';
export type { Members } from './plan/members.js';
export { portNeeds, type PortNeed } from './plan/port-needs.js';
export type { Route, RouteWish } from './plan/route.js';
export type { AddDevice, HotplugPlan, HotplugStep } from './plan/steps.js';
export { isDeviceId } from './qmp/argument-kinds.js';
export { escapeControl } from './text.js';
export {
  guestAddressOf,
  portToJson,
  profileOfArgument,
  renderTopology,
  topologyOf,
  topologyToJson,
  type PlannableKind,
  type Port,
  type Topology,
  type VmSnapshot,
} from './vm/index.js';
