import type { PortKind } from '../types.js';
import { pciPlacement } from './pci-placement.js';
import type { MachineProfile, NamedDevice, PortBus, PortProperty } from './profile.js';

interface PortType {
  readonly kind: PortKind;
  readonly properties: readonly PortProperty[];
}

/** Device types that are a port; all have one slot, device 0 (PCIe Base 5.0, section 7.3.1). */
const PORT_TYPES: ReadonlyMap<string, PortType> = new Map<string, PortType>([
  [
    'pcie-root-port',
    { kind: 'root-port', properties: ['chassis', 'slot', 'mem-reserve', 'pref64-reserve'] },
  ],
  ['ioh3420', { kind: 'root-port', properties: ['chassis', 'slot'] }],
  ['xio3130-downstream', { kind: 'downstream-port', properties: ['chassis', 'slot'] }],
]);

/**
 * PCI Express machine of x86. Nothing can be plugged into pcie.0 itself, so all ports exist from the
 * start. They use ACPI by default since pc-q35-6.1, those below a pxb-pcie always pciehp.
 */
export const q35: MachineProfile = {
  name: 'q35',
  matches: ({ type, arch }) =>
    /^pc-q35-[\w.-]+-machine$/.test(type) && (arch === 'x86_64' || arch === 'i386'),
  portBuses: (devices) => devices.flatMap(portBusOf),
  placement: pciPlacement,
  unplug: {
    acpi: { takes: 'slot', resetCompletes: true, typicalMs: 70 },
    // Five seconds for the attention button and one for power, both in the guest's pciehp.
    native: { takes: 'slot', resetCompletes: false, typicalMs: 6_300 },
  },
};

/**
 * A port made without an id is left out: its bus has a name that QEMU made up (`pcie.0`, like the root
 * bus), by which no device can be put there for sure.
 */
function portBusOf(device: NamedDevice): readonly PortBus[] {
  const type = PORT_TYPES.get(device.type);
  const { id } = device;
  if (type === undefined || id === undefined) return [];
  // A bridge's bus has the name of the bridge (hw/pci/pci_bridge.c, pci_bridge_initfn, 7.2).
  return [
    { device: { ...device, id }, path: `${device.path}/${id}`, name: id, slots: [0], ...type },
  ];
}
