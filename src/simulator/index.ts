export { VirtualClock } from './clock.js';
export {
  ControllerProcess,
  type ControllerOptions,
  type TaskOutcome,
} from './controller-process.js';
export {
  FAULTS,
  Faults,
  type Fault,
  type FaultAt,
  type FaultConfig,
  type FaultName,
  type FaultPoint,
  type FaultRule,
  type FaultSite,
  type RandomFaults,
} from './faults.js';
export { GUESTS, type GuestConfig } from './guest-config.js';
export { Guest } from './guest.js';
export type {
  FunctionConfig,
  HostConfig,
  MdevTypeConfig,
  ProcessConfig,
  SriovConfig,
} from './host/config.js';
export type { DeviceRequestListener } from './host/device-nodes.js';
export { simulatedEffects, type EffectsOptions } from './host/effects.js';
export { KernelError } from './host/errno.js';
export { Kernel } from './host/kernel.js';
export { snapshotKernel } from './host/snapshot.js';
export { MemoryStore } from './memory-store.js';
export {
  audioFunction,
  gpuFunction,
  nicFunction,
  nvmeFunction,
  portFunction,
  type PresetOptions,
} from './presets.js';
export { argumentsOf, configFromArguments } from './qemu/arguments.js';
export {
  MEASURED_TIMING,
  rootPorts,
  type ColdDevice,
  type FirmwareConfig,
  type QemuConfig,
  type RootPortOptions,
  type Timing,
} from './qemu/config.js';
export type { Chunking } from './qemu/connection.js';
export { Machine } from './qemu/machine.js';
export { RELEASES, type Release, type ReleaseName } from './qemu/releases.js';
export { VirtualMachine } from './qemu/virtual-machine.js';
export { Random } from './random.js';
export { serveSimulated, type ServedMonitor, type ServedQemu, type ServeOptions } from './serve.js';
export { simulateQemu, type SimulatedQemu } from './simulate-qemu.js';
export { Trace, type TraceEntry } from './trace.js';
export { createWorld, World, type WorldConfig } from './world.js';
