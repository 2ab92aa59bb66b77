export { pciAddr } from './pci-placement.js';
export type {
  Machine,
  MachineProfile,
  NamedDevice,
  PortBus,
  PortPlace,
  PortProperty,
  UnplugBehaviour,
} from './profile.js';
export { PROFILES, profileOf } from './registry.js';
