export { grantAccess, recordAccess, restoreAccess, type AccessRecord } from './access.js';
export {
  bindToVfio,
  recordBinding,
  type BindingRecord,
  type BindOptions,
  type BindResult,
} from './binding.js';
export { canReadWrite, readCredentials, type ProcessCredentials } from './credentials.js';
export { findDeath } from './device-life.js';
export {
  HostIoError,
  type DeadlineOption,
  type HostEffects,
  type HostStat,
  type MemlockLimit,
  type VfChange,
  type VfSettings,
} from './effects.js';
export { DRIVER_WISHES, type DriverWish } from './driver-wish.js';
export { findUses } from './guards/index.js';
export { isHeldBy, readGroupHolders, readHolders, vfioNodes } from './holders.js';
export { readDevices, readGroups, readHostSnapshot, type SnapshotOptions } from './inventory.js';
export * from './inventory/index.js';
export { isMdevUuid } from './mdev-name.js';
export {
  neededMemlock,
  planMemlock,
  raiseMemlock,
  restoreMemlock,
  type MemlockRecord,
} from './memlock.js';
export { planBinding, type PlannedBinding } from './planned-writes.js';
export { readDriver, readFunction, readGroupNumber, readOverride } from './pci-function.js';
export { createLiveness, isAlive, readBootId, readPidNamespace, readProcess } from './process.js';
export { Quarantine, quarantined, type QuarantineEntry } from './quarantine.js';
export { withQuarantine } from './quarantined-effects.js';
export { createHostEffects, type HostEffectsOptions } from './real-effects.js';
export {
  reprobeSiblings,
  restoreBinding,
  type ReprobeResult,
  type RestoreOptions,
  type RestoreResult,
} from './restore-binding.js';
export type { HostRoots } from './roots.js';
export * from './selector/index.js';
export { findSocketOwner, type SocketOwner, type SocketProcess } from './sockets.js';
export type { HostDevice, HostSnapshot, IommuGroup, UseFinding, VfioHolder } from './types.js';
export { chooseVfioModule, ensureDriver } from './variant.js';
export { isHarmlessDriver, isSameDriver, isVfioDriver } from './vfio-drivers.js';
export { findCulprits, type GroupCulprit } from './viability.js';
export { isUnicastMac } from './vf-settings.js';
