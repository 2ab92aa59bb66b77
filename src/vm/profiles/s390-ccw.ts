import { SUBCHANNEL_SETS } from '../../ccw/index.js';
import { rootBus, slotsFrom } from './pci-ports.js';
import type { MachineProfile, PortBus } from './profile.js';

/** QOM path of the bus that has all channel devices. */
export const CHANNEL_BUS = '/machine/virtual-css-bridge/virtual-css';
/** QOM path of the bus on which every PCI device has its zpci. */
export const ZPCI_BUS = '/machine/s390-pcihost/s390-pcibus.0';

const CCW: PortBus = {
  device: { id: undefined, path: '/machine/virtual-css-bridge', type: 'virtual-css-bridge' },
  id: 'ccw',
  kind: 'ccw-bridge',
  path: CHANNEL_BUS,
  name: 'virtual-css',
  slots: slotsFrom(0, SUBCHANNEL_SETS - 1),
  properties: [],
};

/** There only under KVM with the CPU feature `ap` (hw/s390x/ap-bridge.c, 7.2). */
const AP: PortBus = {
  device: { id: undefined, path: '/machine/ap-bridge', type: 'ap-bridge' },
  id: 'ap',
  kind: 'ap-bus',
  path: '/machine/ap-bridge/ap-bus',
  name: 'ap-bus',
  slots: [0],
  properties: [],
};

const PCI = rootBus(
  { id: undefined, path: '/machine/s390-pcihost', type: 's390-pcihost' },
  'pci.0',
  [0, 31],
);

/** No request of a channel device waits for the guest: its removal is a surprise (measured with QEMU 7.2). */
const AT_ONCE = {
  takes: 'function',
  asksGuest: false,
  resetCompletes: false,
  typicalMs: 60,
} as const;

/**
 * The mainframe: channel devices by their numbers, PCI functions by zPCI, and crypto queues. There are no
 * PCI Express ports.
 */
export const s390Ccw: MachineProfile = {
  name: 's390-ccw-virtio',
  matches: ({ type, arch }) => /^s390-ccw-virtio-[\w.-]+-machine$/.test(type) && arch === 's390x',
  matchesArgument: (machine) => /^s390-ccw-virtio(-[\w.-]+)?$/.test(machine),
  portBuses: () => [CCW, PCI, AP],
  unplug: {
    ccw: AT_ONCE,
    ap: AT_ONCE,
    zpci: { takes: 'function', asksGuest: true, resetCompletes: true, typicalMs: 100 },
  },
  boot: {
    rootBus: 'pci.0',
    first: 0,
    last: 31,
    kinds: new Set(['ccw-bridge']),
    usual: { kind: 'ccw-bridge', count: 1 },
  },
};
