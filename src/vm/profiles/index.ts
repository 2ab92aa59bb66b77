export { portIdOf } from './port-name.js';
export type {
  BootPorts,
  Machine,
  MachineProfile,
  NamedDevice,
  PlannableKind,
  PortBus,
  PortProperty,
  UnplugBehaviour,
} from './profile.js';
export { PROFILES, profileOf, profileOfArgument, unprovenFor } from './registry.js';
export { CHANNEL_BUS, ZPCI_BUS } from './s390-ccw.js';
