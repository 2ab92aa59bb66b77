import type { Bar, BarKind } from './bar.js';
import { roundUpToPowerOfTwo } from './size.js';

// Resource flags: Linux include/linux/ioport.h (6.12).
const IORESOURCE_IO = 0x100n;
const IORESOURCE_MEM = 0x200n;
const IORESOURCE_PREFETCH = 0x2000n;
const IORESOURCE_MEM_64 = 0x100000n;

const ROM_ROW = 6;
const ROW = /^0x([0-9a-f]+) 0x([0-9a-f]+) 0x([0-9a-f]+)$/i;

/**
 * Reads sysfs `resource`: one row `start end flags` per resource. Rows 0-5 are the BARs and row 6
 * is the expansion ROM; what follows depends on the kernel's configuration (VF BARs, bridge
 * windows) and is no memory that a guest sees. Unused rows are left out, and so is a row of another
 * shape. Sizes are rounded up to a power of two as QEMU does for the guest (pow2ceil in
 * hw/vfio/pci.c, 7.2), which changes nothing for a register that follows the specification.
 */
export function parseResource(text: string): readonly Bar[] {
  return text
    .split('\n')
    .slice(0, ROM_ROW + 1)
    .flatMap((line, index) => {
      const match = ROW.exec(line.trim());
      if (!match) return [];
      const [start = 0n, end = 0n, flags = 0n] = match.slice(1).map((hex) => BigInt(`0x${hex}`));
      const kind = kindOf(index, flags);
      // The kernel takes a resource that ends at 0 for an empty one (pci_resource_len).
      if (kind === undefined || end === 0n || end < start) return [];
      return [{ index, kind, sizeBytes: roundUpToPowerOfTwo(end - start + 1n) }];
    });
}

function kindOf(index: number, flags: bigint): BarKind | undefined {
  if (index === ROM_ROW) return flags === 0n ? undefined : 'rom';
  if (flags & IORESOURCE_IO) return 'io';
  if (!(flags & IORESOURCE_MEM)) return undefined;
  const wide = (flags & IORESOURCE_MEM_64) !== 0n;
  if (flags & IORESOURCE_PREFETCH) return wide ? 'pref64' : 'pref32';
  return wide ? 'mem64' : 'mem32';
}
