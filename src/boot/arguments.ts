import { formatSize } from '../pci/size.js';
import type { Seat } from './seats.js';
import type { PlannedWindow } from './types.js';

/** Windows that are left to the firmware. */
export const FIRMWARE_DECIDES: PlannedWindow = {
  prefetchableBytes: undefined,
  memoryBytes: undefined,
};

/** Any chassis will do, as the slot numbers in it are unique. */
export const CHASSIS = 1;

/** A `-device` argument of these properties. */
export function deviceArgument(properties: readonly string[]): readonly string[] {
  return ['-device', properties.join(',')];
}

/** A root port; it takes no I/O window, as 64 KiB are not enough for 20 of them. */
export function rootPortArgument(
  id: string,
  slot: number,
  seat: Seat,
  { prefetchableBytes, memoryBytes }: PlannedWindow,
): readonly string[] {
  return deviceArgument([
    'pcie-root-port',
    `id=${id}`,
    ...seatProperties(seat),
    `chassis=${CHASSIS}`,
    `slot=${slot}`,
    ...(seat.multifunction ? ['multifunction=on'] : []),
    'io-reserve=0',
    ...(memoryBytes === undefined ? [] : [`mem-reserve=${formatSize(memoryBytes)}`]),
    ...(prefetchableBytes === undefined ? [] : [`pref64-reserve=${formatSize(prefetchableBytes)}`]),
  ]);
}

export function seatProperties({ bus, addr }: Seat): readonly string[] {
  return [`bus=${bus}`, `addr=${addr}`];
}
