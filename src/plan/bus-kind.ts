import { DRIVER_RULES } from '../qmp/device-properties.js';
import type { Port } from '../vm/types.js';

/** What a device plugs into: PCI, the channel subsystem, or the bus of crypto queues. */
export type BusKind = 'pci' | 'ccw' | 'ap';

/** What a driver's devices plug into; PCI for one that is not known, and that will be refused. */
export function busKindOf(driver: string): BusKind {
  const properties = DRIVER_RULES.get(driver)?.properties ?? {};
  if (Object.hasOwn(properties, 'devno')) return 'ccw';
  return driver === 'vfio-ap' ? 'ap' : 'pci';
}

/** Whether a port takes devices of this kind of bus. */
export function takesBus({ kind }: Port, bus: BusKind = 'pci'): boolean {
  switch (kind) {
    case 'ccw-bridge':
      return bus === 'ccw';
    case 'ap-bus':
      return bus === 'ap';
    default:
      return bus === 'pci';
  }
}
