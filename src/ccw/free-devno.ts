import { formatDevno, parseDevno, SET_SIZE, type Devno } from './devno.js';

/**
 * The lowest device number of a subchannel set that nobody has, so that a freed one is used again;
 * undefined where all 65,536 are taken.
 *
 * @param ssid subchannel set, 0-3.
 * @param taken addresses in use, of whatever set.
 */
export function lowestFreeDevno(ssid: number, taken: Iterable<Devno>): Devno | undefined {
  const used = new Set<number>();
  for (const devno of taken) {
    const parts = parseDevno(devno);
    if (parts.ssid === ssid) used.add(parts.number);
  }
  for (let number = 0; number < SET_SIZE; number += 1) {
    if (!used.has(number)) return formatDevno({ ssid, number });
  }
  return undefined;
}
