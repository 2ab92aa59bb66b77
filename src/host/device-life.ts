import { known, unknown, type Known } from '../known.js';
import type { Bdf } from '../pci/pci-address.js';
import type { HostEffects } from './effects.js';
import { devicePath } from './pci-function.js';
import { ifPresent, reasonOf } from './reading.js';

/** Bytes of the standard header, which everybody may read. */
const HEADER_BYTES = 64;
/** Offset of the header type: PCI Local Bus 3.0, section 6.2.1; bit 7 says multifunction. */
const HEADER_TYPE = 0x0e;

/**
 * What speaks against a function that has come out of a VM; undefined where it answers as it should.
 * A device that fell off the bus reads as all ones; one whose firmware has hung can give a header
 * type of 0x7f with the rest still plausible. A driver that is bound to such a device may never return.
 */
export async function findDeath(
  effects: HostEffects,
  bdf: Bdf,
): Promise<Known<string | undefined>> {
  try {
    const header = await ifPresent(effects.readBytes(`${devicePath(bdf)}/config`, HEADER_BYTES));
    return known(header === undefined ? undefined : signOfDeath(header));
  } catch (error) {
    return unknown(reasonOf(error));
  }
}

function signOfDeath(header: Uint8Array): string | undefined {
  if (header.length === 0) return undefined;
  if (header.every((byte) => byte === 0xff)) {
    return 'its configuration space reads as all ones: it has fallen off the bus';
  }
  const type = header[HEADER_TYPE];
  return type !== undefined && (type & 0x7f) === 0x7f
    ? 'its header type reads as 0x7f: its firmware has hung'
    : undefined;
}
