import type { PortKind } from '../types.js';
import type { NamedDevice, PortBus, PortProperty } from './profile.js';

/** A device type whose bus has ports. */
export interface PortType {
  readonly kind: PortKind;
  readonly slots: readonly number[];
  readonly properties: readonly PortProperty[];
}

/** A root or downstream port has one slot, device 0 (PCIe Base 5.0, section 7.3.1). */
const ONE = [0];
/** The standard hot-plug controller counts its slots from 1; QEMU refuses device 0 there (hw/pci/shpc.c, 7.2). */
const BEHIND_BRIDGE = slotsFrom(1, 31);

/** Ports of PCI Express. */
export const PCIE_PORTS: ReadonlyMap<string, PortType> = new Map<string, PortType>([
  [
    'pcie-root-port',
    {
      kind: 'root-port',
      slots: ONE,
      properties: ['chassis', 'slot', 'mem-reserve', 'pref64-reserve'],
    },
  ],
  ['ioh3420', { kind: 'root-port', slots: ONE, properties: ['chassis', 'slot'] }],
  ['xio3130-downstream', { kind: 'downstream-port', slots: ONE, properties: ['chassis', 'slot'] }],
  ['pcie-pci-bridge', { kind: 'pcie-pci-bridge-slot', slots: BEHIND_BRIDGE, properties: [] }],
]);

/** The bridge of conventional PCI. */
export const PCI_BRIDGE: ReadonlyMap<string, PortType> = new Map<string, PortType>([
  [
    'pci-bridge',
    {
      kind: 'pci-bridge-slot',
      slots: BEHIND_BRIDGE,
      properties: ['chassis_nr', 'mem-reserve', 'pref64-reserve'],
    },
  ],
]);

/** Device numbers from `first` to `last`, both included. */
export function slotsFrom(first: number, last: number): readonly number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

/**
 * The buses behind ports and bridges of the given types. One made without an id is left out: its bus has
 * a name that QEMU made up (`pcie.0`, like the root bus), by which no device can be put there for sure.
 */
export function busesBehind(
  types: ReadonlyMap<string, PortType>,
  devices: readonly NamedDevice[],
): readonly PortBus[] {
  return devices.flatMap((device): PortBus[] => {
    const type = types.get(device.type);
    const { id } = device;
    if (type === undefined || id === undefined) return [];
    // A bridge's bus has the name of the bridge (hw/pci/pci_bridge.c, pci_bridge_initfn, 7.2).
    return [{ device, id, path: `${device.path}/${id}`, name: id, ...type }];
  });
}

/** A root bus that takes hot-plug itself. */
export function rootBus(
  device: NamedDevice,
  name: string,
  [first, last]: readonly [number, number],
): PortBus {
  return {
    device,
    id: name,
    kind: 'root-bus-slot',
    path: `${device.path}/${name}`,
    name,
    slots: slotsFrom(first, last),
    properties: [],
  };
}
