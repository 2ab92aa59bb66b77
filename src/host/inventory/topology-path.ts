import type { Bdf } from '../../pci/pci-address.js';
import { isBdfName, pciFunctionsOn } from '../class-devices.js';

/** `pci0000:00`, the root bus nearest to a function: behind VMD that is the VMD's own. */
export function rootOf(path: string): string | undefined {
  return path
    .split('/')
    .filter((part) => /^pci[0-9a-f]{4,8}:[0-9a-f]{2}$/.test(part))
    .at(-1);
}

/** Functions above, from the root down. */
export function upstreamOf(path: string): readonly Bdf[] {
  return pciFunctionsOn(path).slice(0, -1);
}

/**
 * Where a function is by what cannot be renumbered: the address on its root bus, then `device.function` for
 * each bus below. `pci-0000:00:1c.4/00.0` stays the same when a card elsewhere moves all bus numbers.
 */
export function topologyPathOf(path: string): string | undefined {
  const parts = path.split('/');
  const root = parts.findLastIndex((part) => /^pci[0-9a-f]{4,8}:[0-9a-f]{2}$/.test(part));
  const [first, ...below] = parts.slice(root + 1).filter(isBdfName);
  if (root < 0 || first === undefined) return undefined;
  return [`pci-${first}`, ...below.map((bdf) => bdf.slice(bdf.lastIndexOf(':') + 1))].join('/');
}
