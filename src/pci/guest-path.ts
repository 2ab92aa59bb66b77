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

/** What a guest path starts from. */
export interface GuestRoot {
  /** PCI domain: 0, but on s390x, where every function has a domain of its own. */
  readonly domain: number;
  /** Number of the root bus: 0, or a pxb's `bus_nr`. */
  readonly bus: number;
}

/** A guest path with its root. */
export interface RootedPath {
  readonly root: GuestRoot;
  readonly path: GuestPath;
}

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

const ROOT = /^pci([0-9a-f]{4}):([0-9a-f]{2})\/(.*)$/is;

/**
 * Writes a path with its root, as the guest's sysfs names it: `pci0000:80/00/00`. The usual root, bus 0 of
 * domain 0, is left out: `02/00`. `parseRootedPath` reads back the same.
 */
export function formatRootedPath({ root, path }: RootedPath): string {
  const slots = formatGuestPath(path);
  if (root.domain === 0 && root.bus === 0) return slots;
  const hex = (value: number, width: number) => value.toString(16).padStart(width, '0');
  return `pci${hex(root.domain, 4)}:${hex(root.bus, 2)}/${slots}`;
}

/** Reads `02/00` and `pci0000:80/00/00`. @throws {InputError} `BAD_ADDRESS` for any other text. */
export function parseRootedPath(text: string): RootedPath {
  const [, domain = '0', bus = '0', slots = text] = ROOT.exec(text) ?? [];
  return {
    root: { domain: parseInt(domain, 16), bus: parseInt(bus, 16) },
    path: parseGuestPath(slots),
  };
}
