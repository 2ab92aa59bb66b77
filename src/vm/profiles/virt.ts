import { busesBehind, PCI_BRIDGE, PCIE_PORTS } from './pci-ports.js';
import type { BootPorts, MachineProfile } from './profile.js';
import { ACPI, NATIVE, SHPC } from './unplug.js';

const TYPES = new Map([...PCIE_PORTS, ...PCI_BRIDGE]);

const BOOT: BootPorts = {
  rootBus: 'pcie.0',
  // Device 0 is the host bridge's own function (hw/pci-host/gpex.c, 7.2).
  first: 1,
  last: 31,
  kinds: new Set(['root-port', 'switch-port', 'pci-bridge']),
  usual: { kind: 'root-port', count: 8 },
};

/**
 * The virtual platform of Arm. Ports are native; ACPI only where the generic event device was told to,
 * from QEMU 10.1 on, which the VM is asked for.
 */
export const virtAarch64: MachineProfile = {
  name: 'virt (aarch64)',
  matches: ({ type, arch }) => isVirt(type) && arch === 'aarch64',
  matchesArgument: isVirtArgument,
  portBuses: (devices) => busesBehind(TYPES, devices),
  unplug: { acpi: ACPI, native: NATIVE, shpc: SHPC },
  boot: BOOT,
};

/** The virtual platform of RISC-V: native only. */
export const virtRiscv64: MachineProfile = {
  name: 'virt (riscv64)',
  matches: ({ type, arch }) => isVirt(type) && arch === 'riscv64',
  matchesArgument: isVirtArgument,
  portBuses: (devices) => busesBehind(TYPES, devices),
  unplug: { native: NATIVE, shpc: SHPC },
  boot: BOOT,
  unproven: 'no guest with pciehp was seen on riscv64 (the kernel of Debian 13 has none)',
};

/** QOM knows the machine of Arm by its version, that of RISC-V by its name alone. */
function isVirt(type: string): boolean {
  return /^virt-([\w.]+-)?machine$/.test(type);
}

function isVirtArgument(machine: string): boolean {
  return /^virt(-[\w.]+)?$/.test(machine);
}
