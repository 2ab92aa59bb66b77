export {
  hasDeviceType,
  NATIVE_HOTPLUG_PROPERTIES,
  readCapabilities,
  type CapabilityCache,
  type NativeHotplugProperty,
  type QemuCapabilities,
} from './capabilities.js';
export { guestAddressOf, portPathOf, type GuestAddress } from './guest-address.js';
export { snapshotHash } from './hash.js';
export { identifyVm, vmKeyOf, type IdentifyOptions } from './identity.js';
export { flattenPciTree, viewBridge, type BridgeView } from './pci-view.js';
export { isInPort, portOf, type DevicePlace } from './port-of.js';
export * from './profiles/index.js';
export { readVmSnapshot, type SnapshotOptions } from './snapshot.js';
export { portToJson, topologyToJson } from './topology-json.js';
export { renderTopology } from './topology-text.js';
export { topologyOf, type Topology, type TopologyDevice, type TopologyRoot } from './topology.js';
export type * from './types.js';
