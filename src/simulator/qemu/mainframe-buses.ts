import type { QemuConfig } from './config.js';
import { createBus, type PciBus } from './model.js';

export const PCI_ROOT_BUS = '/machine/s390-pcihost/pci.0';
export const AP_BUS = '/machine/ap-bridge/ap-bus';
const CHANNEL_BUS = '/machine/virtual-css-bridge/virtual-css';

export const isMainframe = ({ machine }: QemuConfig): boolean => machine === 's390-ccw-virtio';

/** The buses of a mainframe besides that of PCI. */
export function mainframeBuses({ cryptoQueues = false }: QemuConfig): readonly PciBus[] {
  const channel = createBus('virtual-css', CHANNEL_BUS, 'virtual-css-bus', undefined);
  const ap = createBus('ap-bus', AP_BUS, 'ap-bus', undefined);
  return cryptoQueues ? [channel, ap] : [channel];
}
