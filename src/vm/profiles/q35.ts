import { busesBehind, PCI_BRIDGE, PCIE_PORTS } from './pci-ports.js';
import type { MachineProfile } from './profile.js';
import { ACPI, NATIVE, SHPC } from './unplug.js';

const TYPES = new Map([...PCIE_PORTS, ...PCI_BRIDGE]);

/**
 * PCI Express machine of x86. Nothing can be plugged into pcie.0 itself, so all ports exist from the
 * start. They use ACPI by default since pc-q35-6.1, those below a pxb-pcie always pciehp.
 */
export const q35: MachineProfile = {
  name: 'q35',
  matches: ({ type, arch }) =>
    /^pc-q35-[\w.-]+-machine$/.test(type) && (arch === 'x86_64' || arch === 'i386'),
  matchesArgument: (machine) => /^(q35|pc-q35-[\w.-]+)$/.test(machine),
  portBuses: (devices) => busesBehind(TYPES, devices),
  unplug: { acpi: ACPI, native: NATIVE, shpc: SHPC },
  boot: {
    rootBus: 'pcie.0',
    // Device 0 is the memory controller hub, 0x1f holds ICH9 (hw/i386/pc_q35.c, 7.2).
    first: 1,
    last: 0x1e,
    kinds: new Set(['root-port', 'switch-port', 'pci-bridge', 'pxb']),
    usual: { kind: 'root-port', count: 8 },
  },
};
