import { roundUpToPowerOfTwo } from '../pci/size.js';
import { roundUp, WINDOW_GRANULE } from './reserves.js';
import type { PlannedWindow } from './types.js';

const MIB = 1n << 20n;
const GIB = 1n << 30n;

/** OVMF counts no more address bits than this with 4-level paging (edk2-2025.02). */
const MAX_PHYS_BITS = 46;
/** What OVMF's 64-bit window is where nothing else is asked for and no wider one fits (edk2-2022.11). */
const CLASSIC_WINDOW = 32n * GIB;
/** OVMF's limit for X-PciMmio64Mb (edk2-2025.02). */
export const MAX_MMIO64 = 1n << 44n;

/** The range from which OVMF serves the prefetchable windows of all ports. */
export interface Aperture {
  readonly base: bigint;
  readonly sizeBytes: bigint;
}

/**
 * OVMF's 64-bit window: the last eighth of the address space, or, where that is no larger than what is asked
 * for or would reach into RAM, the size asked for, right above RAM and aligned to its own size. Source:
 * OvmfPkg/Library/PlatformInitLib/MemDetect.c, PlatformGetFirstNonAddress and
 * PlatformDynamicMmioWindow (edk2-2022.11); both cases measured.
 */
export function ovmfAperture(place: {
  readonly endOfRam: bigint;
  readonly physBits: number;
  /** X-PciMmio64Mb in bytes. */
  readonly asked: bigint | undefined;
}): Aperture {
  const sizeBytes = roundUp(place.asked ?? CLASSIC_WINDOW, GIB);
  const powerBelow = roundUpToPowerOfTwo(sizeBytes / 2n + 1n);
  const base = roundUp(roundUp(place.endOfRam, GIB), powerBelow);
  const bits = Math.min(place.physBits, MAX_PHYS_BITS);
  const [end, dynamic] = [1n << BigInt(bits), 1n << BigInt(bits - 3)];
  return sizeBytes < dynamic && base + dynamic < end
    ? { base: end - dynamic, sizeBytes: dynamic }
    : { base, sizeBytes };
}

/** A reserve is rounded up to a power of two; without one a port gets 1/256 of an aperture above 32 GiB. */
export function ovmfPortWindow({ prefetchableBytes }: PlannedWindow, aperture: Aperture): bigint {
  if (prefetchableBytes !== undefined) return roundUpToPowerOfTwo(prefetchableBytes);
  const { sizeBytes } = aperture;
  return sizeBytes > CLASSIC_WINDOW ? roundUpToPowerOfTwo(sizeBytes / 256n) : WINDOW_GRANULE;
}

/** The command-line words that ask OVMF for a 64-bit window of a size. */
export function ovmfWindowArgs(bytes: bigint): readonly string[] {
  return ['-fw_cfg', `name=opt/ovmf/X-PciMmio64Mb,string=${bytes / MIB}`];
}
