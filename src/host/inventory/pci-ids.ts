import type { HostEffects } from '../effects.js';
import { ifPresent } from '../reading.js';

/** Names of vendors and devices, as the system's pci.ids list has them. */
export interface PciNames {
  vendor(vendorId: number): string | undefined;
  device(vendorId: number, deviceId: number): string | undefined;
}

/** Where Debian and where Red Hat, SUSE and Arch keep it. */
export const PCI_IDS_PATHS: readonly string[] = [
  '/usr/share/misc/pci.ids',
  '/usr/share/hwdata/pci.ids',
];

/** The names that the host's own list has; undefined where none is installed. */
export async function readPciNames(
  effects: HostEffects,
  paths: readonly string[] = PCI_IDS_PATHS,
): Promise<PciNames | undefined> {
  for (const path of paths) {
    const text = await ifPresent(effects.read(path));
    if (text !== undefined) return pciNamesOf(text);
  }
  return undefined;
}

/**
 * Looks names up in the text of a pci.ids list: vendors at the beginning of a line, their devices below behind
 * one tab. The list of a megabyte and a half is searched, not parsed: a host has few kinds of devices.
 */
export function pciNamesOf(text: string): PciNames {
  const hex = (id: number) => id.toString(16).padStart(4, '0');
  const blocks = new Map<number, string | undefined>();
  const blockOf = (vendorId: number) => {
    if (!blocks.has(vendorId)) blocks.set(vendorId, findVendor(text, hex(vendorId)));
    return blocks.get(vendorId);
  };
  return {
    vendor: (vendorId) => /^[0-9a-f]{4} +([^\n]*)/.exec(blockOf(vendorId) ?? '')?.[1]?.trim(),
    device(vendorId, deviceId) {
      const block = blockOf(vendorId) ?? '';
      const start = block.indexOf(`\n\t${hex(deviceId)} `);
      if (start < 0) return undefined;
      return block.slice(start + 6, endOfLine(block, start + 1)).trim();
    },
  };
}

/** The vendor's line and those of its devices. */
function findVendor(text: string, vendor: string): string | undefined {
  const start = text.startsWith(`${vendor} `) ? 0 : text.indexOf(`\n${vendor} `) + 1;
  if (start === 0 && !text.startsWith(`${vendor} `)) return undefined;
  let end = endOfLine(text, start);
  while (text[end + 1] === '\t' || text[end + 1] === '#') end = endOfLine(text, end + 1);
  return text.slice(start, end);
}

function endOfLine(text: string, from: number): number {
  const end = text.indexOf('\n', from);
  return end < 0 ? text.length : end;
}
