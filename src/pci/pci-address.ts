import { InputError } from '../errors.js';

declare const bdfBrand: unique symbol;

/**
 * Canonical text of a PCI address, `dddd:bb:dd.f` in lower-case hex: the device's
 * directory name in sysfs, and safe as a Map key. Only `formatBdf` makes one.
 */
export type Bdf = string & { readonly [bdfBrand]: true };

/** A PCI address in integers: bus 0-0xff, device 0-0x1f, function 0-7. */
export interface PciAddress {
  /** 0-0xffff on most hosts; Intel VMD domains start at 0x10000. */
  readonly domain: number;
  readonly bus: number;
  readonly device: number;
  readonly function: number;
}

const BDF = /^(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([01][0-9a-f])\.([0-7])$/i;

/**
 * Reads `0000:3b:00.1` or, meaning domain 0 and no other, `3b:00.1`.
 *
 * @throws {InputError} `BAD_BDF` for any other text.
 */
export function parseBdf(text: string): PciAddress {
  const match = BDF.exec(text);
  if (!match) {
    throw new InputError('BAD_BDF', `Not a PCI address: ${JSON.stringify(text)}`, {
      remedy: 'write it as dddd:bb:dd.f, for example 0000:3b:00.0',
    });
  }
  const [, domain = '0', bus = '', device = '', fn = ''] = match;
  const int = (hex: string) => parseInt(hex, 16);
  return { domain: int(domain), bus: int(bus), device: int(device), function: int(fn) };
}

/** Writes the canonical form; `parseBdf` reads back the same address. */
export function formatBdf(address: PciAddress): Bdf {
  const hex = (value: number, width: number) => value.toString(16).padStart(width, '0');
  const { domain, bus, device, function: fn } = address;
  return `${hex(domain, 4)}:${hex(bus, 2)}:${hex(device, 2)}.${hex(fn, 1)}` as Bdf;
}

/** Canonical form of any accepted spelling. @throws {InputError} `BAD_BDF`. */
export function toBdf(text: string): Bdf {
  return formatBdf(parseBdf(text));
}

/** Numeric order: domain, bus, device, function. Never the order of a directory listing. */
export function compareBdf(a: Bdf, b: Bdf): number {
  const left = parseBdf(a);
  const right = parseBdf(b);
  return (
    left.domain - right.domain ||
    left.bus - right.bus ||
    left.device - right.device ||
    left.function - right.function
  );
}

/** `dddd:bb:dd`, the slot a function sits in; functions of one device share it. */
export function slotOf(bdf: Bdf): string {
  return bdf.slice(0, bdf.lastIndexOf('.'));
}

/**
 * Whether vfio-pci `host=` can name the device. QEMU refuses a domain above 0xffff there,
 * so a device behind VMD goes in as `sysfsdev=`.
 * Source: QEMU hw/core/qdev-properties-system.c, set_pci_host_devaddr (9.0-rc3).
 */
export function fitsHostProperty(address: PciAddress): boolean {
  return address.domain <= 0xffff;
}
