import { busesBehind, PCI_BRIDGE, rootBus } from './pci-ports.js';
import type { MachineProfile, NamedDevice } from './profile.js';
import { ACPI, SHPC } from './unplug.js';

const HOST_BRIDGE: NamedDevice = {
  id: undefined,
  path: '/machine/i440fx',
  type: 'i440FX-pcihost',
};

/**
 * Conventional PCI machine of x86. The root bus takes hot-plug by ACPI, and so do bridges that were there
 * at the start. A PCI Express device appears as a conventional one.
 */
export const pc: MachineProfile = {
  name: 'pc',
  matches: ({ type, arch }) =>
    /^pc-i440fx-[\w.-]+-machine$/.test(type) && (arch === 'x86_64' || arch === 'i386'),
  matchesArgument: (machine) => /^(pc|pc-i440fx-[\w.-]+)$/.test(machine),
  // Devices 0 and 1 are the 440FX and PIIX3 (hw/i386/pc_piix.c, 7.2).
  portBuses: (devices) => [
    rootBus(HOST_BRIDGE, 'pci.0', [2, 31]),
    ...busesBehind(PCI_BRIDGE, devices),
  ],
  unplug: { acpi: ACPI, shpc: SHPC },
  boot: {
    rootBus: 'pci.0',
    first: 2,
    last: 31,
    kinds: new Set(['pci-bridge']),
    usual: { kind: 'pci-bridge', count: 1 },
  },
};
