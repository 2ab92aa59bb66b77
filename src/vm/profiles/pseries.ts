import { busesBehind, PCI_BRIDGE, rootBus } from './pci-ports.js';
import type { MachineProfile, NamedDevice, PortBus } from './profile.js';

const HOST_BRIDGE = 'spapr-pci-host-bridge';

/**
 * The paravirtual platform of POWER. Every host bridge takes hot-plug on its own bus, through RTAS; the
 * host bridge of the device's root bus sees to those behind bridges too.
 */
export const pseries: MachineProfile = {
  name: 'pseries',
  matches: ({ type, arch }) =>
    /^pseries-[\w.-]+-machine$/.test(type) && (arch === 'ppc64' || arch === 'ppc64le'),
  matchesArgument: (machine) => /^pseries(-[\w.-]+)?$/.test(machine),
  builtIn: '/machine/unattached',
  portBuses: (devices) => [...devices.flatMap(hostBridgeBus), ...busesBehind(PCI_BRIDGE, devices)],
  mechanism: 'rtas',
  unplug: {
    // The guest hands the connector back (hw/ppc/spapr_drc.c, 7.2); it may decline with an event.
    rtas: { takes: 'slot', asksGuest: true, resetCompletes: true, typicalMs: 1_000 },
  },
  boot: {
    rootBus: 'pci.0',
    first: 0,
    last: 31,
    kinds: new Set(['pci-bridge']),
    usual: { kind: 'pci-bridge', count: 1 },
  },
  unproven: 'no guest was seen to take or release a device on pseries',
};

/** The bus is `<id>.0`, of the machine's own host bridge `pci.0` (QEMU 7.2). */
function hostBridgeBus(device: NamedDevice): readonly PortBus[] {
  if (device.type !== HOST_BRIDGE) return [];
  return [rootBus(device, device.id === undefined ? 'pci.0' : `${device.id}.0`, [0, 31])];
}
