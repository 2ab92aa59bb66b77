import type { Resolution } from '../desired-state.js';

const MIB = 1 << 20;

/**
 * Bytes of the picture in both formulas of Looking Glass' documentation: until the middle of 2026 two frames and
 * 10 MiB, with 8 bytes a pixel for HDR; since then three frames in lines of whole 256 bytes and 4 MiB.
 */
const FORMULAS = {
  double: ({ width, height, hdr }: Resolution) => width * height * (hdr ? 8 : 4) * 2 + 10 * MIB,
  triple: ({ width, height }: Resolution) =>
    Math.ceil((width * 4) / 256) * 256 * height * 3 + 4 * MIB,
} as const;

/** MiB of shared memory for a picture, a power of two. Without a stated formula the larger of both. */
export function kvmfrSizeMb(picture: Resolution, formula: 'larger' | 'double' | 'triple'): number {
  const names = formula === 'larger' ? (['double', 'triple'] as const) : [formula];
  const mib = Math.max(...names.map((name) => FORMULAS[name](picture) / MIB));
  return 2 ** Math.ceil(Math.log2(mib));
}
