import { InputError, NoFitError } from '../errors.js';
import { formatSize, roundUpToPowerOfTwo } from '../pci/size.js';
import type { BootRequest, PlannedWindow } from './types.js';

const GIB = 1n << 30n;
/** 64-bit window of the `virt` machine of Arm (hw/arm/virt.c, VIRT_HIGH_PCIE_MMIO, 7.2). */
const HIGH_WINDOW = 512n * GIB;

/**
 * Checks the windows of a `virt` machine, whose firmware is EDK2 (`ovmf`). A guest that is started without
 * firmware sizes the windows itself and takes no hints.
 *
 * @throws {InputError} `BAD_ARGUMENT` for another firmware. @throws {NoFitError} `NO_WINDOW`.
 */
export function checkVirtSpace(request: BootRequest, windows: readonly PlannedWindow[]): void {
  const sum = windows.reduce(
    (total, { prefetchableBytes = 0n }) => total + roundUpToPowerOfTwo(prefetchableBytes),
    0n,
  );
  const asked = windows.some(({ memoryBytes }) => memoryBytes !== undefined) || sum > 0n;
  if (asked && request.firmware !== 'ovmf') {
    throw new InputError(
      'BAD_ARGUMENT',
      'Windows are asked of the firmware, and virt has no SeaBIOS',
      {
        remedy: 'plan with --firmware ovmf, which on virt is EDK2',
      },
    );
  }
  if (sum <= HIGH_WINDOW) return;
  throw new NoFitError(
    'NO_WINDOW',
    `The prefetchable windows need ${formatSize(sum)}; the 64-bit window of virt is ${formatSize(HIGH_WINDOW)}`,
    {
      remedy: 'plan fewer root ports or smaller windows',
      details: { neededBytes: String(sum), roomBytes: String(HIGH_WINDOW) },
    },
  );
}
