import { NoFitError } from '../errors.js';
import { formatSize, roundUpToPowerOfTwo } from '../pci/size.js';
import { roundUp, WINDOW_GRANULE } from './reserves.js';
import type { BootRequest, PlannedWindow } from './types.js';

const MIB = 1n << 20n;
const GIB = 1n << 30n;

/** QEMU's own CPU models under TCG and KVM (target/i386/cpu.c, TCG_PHYS_ADDR_BITS, 7.2). */
export const DEFAULT_PHYS_BITS = 40;

/**
 * Room for all memory windows below 4 GiB on q35. The hole is 0xc0000000-0xfebfffff, 1004 MiB; the
 * rest is left to the BARs of other devices. Measured with SeaBIOS 1.16.2: 960 MiB in one window
 * are placed; one byte too much in sum and the firmware opens no window of any port.
 */
export const LOW_MEMORY_ROOM = 960n * MIB;

/** OVMF counts no more address bits than this with 4-level paging (edk2-2025.02). */
const OVMF_MAX_PHYS_BITS = 46;
/** OVMF's 64-bit window where the dynamic one is smaller (edk2-2025.02). */
const OVMF_CLASSIC_WINDOW = 32n * GIB;

/**
 * Checks that the windows of all ports fit the guest's address space together.
 *
 * @throws {NoFitError} `NO_WINDOW`, with the arithmetic.
 */
export function checkAddressSpace(request: BootRequest, windows: readonly PlannedWindow[]): void {
  checkBelow4G(request, windows);
  if (request.firmware === 'ovmf') checkOvmf(request, windows);
  else checkSeabios(request, windows);
}

/** First address above RAM and above 4 GiB: q35 keeps at most 2 GiB below once it splits RAM (hw/i386/pc_q35.c, 7.2). */
export function endOfRam(request: BootRequest): bigint {
  const bytes = request.memoryBytes;
  const above = bytes > 2n * GIB ? bytes - 2n * GIB : 0n;
  // The area for memory hot-plug starts at a whole GiB and may waste one GiB on alignment.
  const hotplug = request.hotplugMemoryBytes ?? 0n;
  return 4n * GIB + (hotplug === 0n ? above : roundUp(above, GIB) + hotplug + GIB);
}

/**
 * What SeaBIOS 1.16.3 gives a port without a hint, and the unit it rounds hints up to, once RAM
 * reaches above 4 GiB: 2^phys-bits / 2048, counting at most 46 bits. Older versions give less.
 */
function seabiosUnit(request: BootRequest, physBits: number): bigint {
  if (request.memoryBytes <= 2n * GIB || physBits < 36) return WINDOW_GRANULE;
  return 1n << BigInt(Math.min(physBits, 46) - 11);
}

function checkSeabios(request: BootRequest, windows: readonly PlannedWindow[]): void {
  const physBits = request.physBits ?? DEFAULT_PHYS_BITS;
  const needed = (bits: number) => {
    const unit = seabiosUnit(request, bits);
    const sizes = windows.map((window) => roundUp(window.prefetchableBytes ?? unit, unit));
    return { sizes, start: roundUp(endOfRam(request), GIB), sum: total(sizes) };
  };
  const { sizes, start, sum } = needed(physBits);
  if (start + sum <= 1n << BigInt(physBits)) return;
  const enough = smallestPhysBits(physBits, (bits) => {
    const at = needed(bits);
    return at.start + at.sum <= 1n << BigInt(bits);
  });
  throw new NoFitError(
    'NO_WINDOW',
    `${tally(sizes)} of prefetchable windows, from ${formatSize(start)} (end of RAM) up, end at ` +
      `${formatSize(start + sum)}; ${physBits} address bits end at ${formatSize(1n << BigInt(physBits))}`,
    { remedy: remedyFor(enough), details: details(sum, physBits) },
  );
}

function checkOvmf(request: BootRequest, windows: readonly PlannedWindow[]): void {
  const physBits = request.physBits ?? DEFAULT_PHYS_BITS;
  const room = (bits: number) => ovmfWindow(bits, request.mmio64Bytes ?? 0n);
  const needed = (bits: number) => windows.map((window) => ovmfPortWindow(window, room(bits)));
  const sizes = needed(physBits);
  const sum = total(sizes);
  const fits = (bits: number) =>
    total(needed(bits)) <= room(bits) && endOfRam(request) + room(bits) <= 1n << BigInt(bits);
  if (fits(physBits)) return;
  const enough = smallestPhysBits(physBits, fits);
  const remedy = remedyFor(enough);
  const tooMuch = sum > room(physBits);
  throw new NoFitError(
    'NO_WINDOW',
    tooMuch
      ? `${tally(sizes)} of prefetchable windows; OVMF's 64-bit window is ` +
          `${formatSize(room(physBits))} with ${physBits} address bits`
      : `OVMF's 64-bit window of ${formatSize(room(physBits))} above RAM (which ends at ` +
          `${formatSize(endOfRam(request))}) passes the ${formatSize(1n << BigInt(physBits))} of ` +
          `${physBits} address bits`,
    {
      remedy: tooMuch
        ? `${remedy}, or ask OVMF for a 64-bit window of ${formatSize(roundUpToPowerOfTwo(sum))}`
        : remedy,
      details: details(sum, physBits),
    },
  );
}

/** OVMF's 64-bit window: an eighth of the address space, or what fw_cfg asks for if that is more. */
function ovmfWindow(physBits: number, asked: bigint): bigint {
  const dynamic = 1n << BigInt(Math.min(physBits, OVMF_MAX_PHYS_BITS) - 3);
  return [dynamic, OVMF_CLASSIC_WINDOW, asked].reduce((a, b) => (a > b ? a : b));
}

/** Hints are rounded up to a power of two; without one a port gets 1/256 of a window above 32 GiB. */
function ovmfPortWindow(window: PlannedWindow, room: bigint): bigint {
  if (window.prefetchableBytes !== undefined) return roundUpToPowerOfTwo(window.prefetchableBytes);
  return room > OVMF_CLASSIC_WINDOW ? room / 256n : WINDOW_GRANULE;
}

/** Prefetchable windows without a hint may be put below 4 GiB, 2 MiB each. */
function checkBelow4G(request: BootRequest, windows: readonly PlannedWindow[]): void {
  const sizes = windows.map((window) => {
    const memory = window.memoryBytes ?? WINDOW_GRANULE;
    return request.firmware === 'ovmf'
      ? roundUpToPowerOfTwo(memory)
      : roundUp(memory, WINDOW_GRANULE);
  });
  const unhinted = windows.filter((window) => window.prefetchableBytes === undefined).length;
  const sum = total(sizes) + BigInt(unhinted) * WINDOW_GRANULE;
  if (sum <= LOW_MEMORY_ROOM) return;
  const extra = unhinted === 0 ? '' : ` and ${unhinted} x ${formatSize(WINDOW_GRANULE)} by default`;
  throw new NoFitError(
    'NO_WINDOW',
    `${tally(sizes)} of memory windows${extra} need ${formatSize(sum)} below 4 GiB; there is room for ` +
      formatSize(LOW_MEMORY_ROOM),
    {
      remedy: 'plan fewer root ports, or smaller windows for BARs below 4 GiB',
      details: { neededBytes: String(sum), roomBytes: String(LOW_MEMORY_ROOM) },
    },
  );
}

function smallestPhysBits(from: number, fits: (bits: number) => boolean): number | undefined {
  for (let bits = from + 1; bits <= 52; bits += 1) if (fits(bits)) return bits;
  return undefined;
}

function remedyFor(physBits: number | undefined): string {
  if (physBits === undefined) return 'plan fewer root ports or smaller windows';
  return (
    `give the guest ${physBits} address bits (-cpu host, or -cpu MODEL,phys-bits=${physBits}) and ` +
    `plan with --phys-bits ${physBits}, or plan fewer root ports`
  );
}

function details(sum: bigint, physBits: number): Record<string, unknown> {
  return { neededBytes: String(sum), physBits };
}

function total(sizes: readonly bigint[]): bigint {
  return sizes.reduce((sum, size) => sum + size, 0n);
}

/** `8 x 256G = 2T`, or `3 x 64G + 1 x 16G = 208G`. */
function tally(sizes: readonly bigint[]): string {
  const counts = new Map<bigint, number>();
  for (const size of sizes) counts.set(size, (counts.get(size) ?? 0) + 1);
  const terms = [...counts].map(([size, count]) => `${count} x ${formatSize(size)}`);
  return `${terms.join(' + ')} = ${formatSize(total(sizes))}`;
}
