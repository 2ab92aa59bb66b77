import { SET_SIZE } from '../ccw/index.js';
import { FIRMWARE_DECIDES } from './arguments.js';
import type { PlannedPart } from './layout.js';

/**
 * Blocks of device numbers in the channel subsystem, one per subchannel set. QEMU has them from the start, so
 * there is nothing to say on its command line.
 */
export function planCcwBridges(count: number): PlannedPart {
  const ports = Array.from({ length: count }, (_, ssid) => ({
    id: `ccw${ssid}`,
    kind: 'ccw-bridge' as const,
    bus: 'virtual-css',
    chassis: null,
    slot: null,
    addr: `fe.${ssid}`,
    window: FIRMWARE_DECIDES,
    capacity: SET_SIZE,
  }));
  return { args: [], ports };
}
