import type { Bar } from '../pci/bar.js';
import { windowSizeFor, type WindowKind } from '../pci/window-fit.js';
import type { BootRequest, Firmware, PlannedWindow } from './types.js';

/** Both firmwares align an empty port's windows to this at the least (SeaBIOS 1.16.2, edk2-2025.02). */
export const WINDOW_GRANULE = 1n << 21n;

/**
 * What the base of a port's window is surely a multiple of, bytes. SeaBIOS promises no more than its
 * granule: measured, 128 GiB that version 1.16.2 reserved at 4 GiB do not take a 128 GiB BAR. OVMF
 * aligns a window to its own size, so no window is too large for its alignment.
 */
const ALIGNMENT = {
  seabios: WINDOW_GRANULE,
  ovmf: 1n << 63n,
} as const satisfies Record<Firmware, bigint>;

/** Windows of each port in order, one entry per requested root port. */
export function planWindows(request: BootRequest): readonly PlannedWindow[] {
  const lists = request.barsPerPort ?? [];
  return Array.from({ length: request.rootPorts }, (_, index) => {
    const bars = (lists.length === 1 ? lists[0] : lists[index]) ?? [];
    const reserve = (window: WindowKind, atLeastBytes: bigint | undefined) =>
      reserveFor({ bars, atLeastBytes: atLeastBytes ?? 0n, window, firmware: request.firmware });
    return {
      prefetchableBytes: reserve('prefetchable', request.windowBytes),
      memoryBytes: reserve('memory', request.memoryWindowBytes),
    };
  });
}

/** The reserve for BARs that are known, or for BARs of a known sum; undefined where there are none. */
function reserveFor(needed: {
  readonly bars: readonly Bar[];
  readonly atLeastBytes: bigint;
  readonly window: WindowKind;
  readonly firmware: Firmware;
}): bigint | undefined {
  const { window, atLeastBytes } = needed;
  const options = { window, alignmentBytes: ALIGNMENT[needed.firmware] };
  const sum: Bar = {
    index: 0,
    kind: window === 'prefetchable' ? 'pref64' : 'mem32',
    sizeBytes: atLeastBytes,
  };
  const forBars = windowSizeFor(needed.bars, options);
  const forSum = windowSizeFor([sum], options);
  const bytes = forBars > forSum ? forBars : forSum;
  if (bytes === 0n) return undefined;
  return bytes > WINDOW_GRANULE ? bytes : WINDOW_GRANULE;
}

export function roundUp(value: bigint, unit: bigint): bigint {
  return ((value + unit - 1n) / unit) * unit;
}
