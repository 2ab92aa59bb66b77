import { InputError } from '../errors.js';

/** One hop of a guest path: PCI device number 0-31 and function 0-7 on its bus. */
export interface GuestPathHop {
  readonly device: number;
  readonly function: number;
}

/**
 * Where a function sits in the guest: the slots from the root bus down to it. It holds before the
 * guest has numbered its buses, when there is no guest BDF yet.
 */
export type GuestPath = readonly GuestPathHop[];

const HOP = /^([01][0-9a-f])(?:\.([0-7]))?$/i;

/**
 * Reads `02/00`: device 2 on the root bus, device 0 behind it. Two hex digits per hop; `.f` names a
 * function other than 0.
 *
 * @throws {InputError} `BAD_ADDRESS` for any other text.
 */
export function parseGuestPath(text: string): GuestPath {
  return text.split('/').map((hop) => {
    const match = HOP.exec(hop);
    if (!match) {
      throw new InputError('BAD_ADDRESS', `Not a guest path: ${JSON.stringify(text)}`, {
        remedy:
          'write two hex digits per slot from the root bus down, for example 02/00 or 02/00.1',
      });
    }
    const [, device = '', fn = '0'] = match;
    return { device: parseInt(device, 16), function: parseInt(fn, 16) };
  });
}

/** Writes the canonical form; `parseGuestPath` reads back the same hops. */
export function formatGuestPath(path: GuestPath): string {
  return path
    .map(({ device, function: fn }) => {
      const slot = device.toString(16).padStart(2, '0');
      return fn === 0 ? slot : `${slot}.${fn}`;
    })
    .join('/');
}
