import { NoFitError } from '../errors.js';
import { formatSize, roundUpToPowerOfTwo } from '../pci/size.js';
import { MAX_MMIO64, ovmfAperture, ovmfPortWindow, type Aperture } from './ovmf.js';
import { roundUp, WINDOW_GRANULE } from './reserves.js';
import type { BootRequest, PlannedWindow } from './types.js';

const MIB = 1n << 20n;
const GIB = 1n << 30n;

/** QEMU's own CPU models under TCG and KVM (target/i386/cpu.c, TCG_PHYS_ADDR_BITS, 7.2). */
export const DEFAULT_PHYS_BITS = 40;
/** The most that x86 has (Intel SDM vol. 3A, 4.1.4). */
const MAX_PHYS_BITS = 52;

/**
 * Room for all memory windows below 4 GiB on q35. The hole is 0xc0000000-0xfebfffff, 1004 MiB; the
 * rest is left to the BARs of other devices. Measured with SeaBIOS 1.16.2: 960 MiB in one window
 * are placed; one byte too much in sum and the firmware opens no window of any port.
 */
export const LOW_MEMORY_ROOM = 960n * MIB;

/** What the firmware must be asked for besides the ports' own reserves. */
export interface AddressSpacePlan {
  /** OVMF's 64-bit window, bytes; undefined where its own choice does. */
  readonly mmio64Bytes: bigint | undefined;
}

/**
 * Checks that the windows of all ports fit the guest's address space together, and finds what the firmware
 * must be told so that they do.
 *
 * @throws {NoFitError} `NO_WINDOW`, with the arithmetic.
 */
export function planAddressSpace(
  request: BootRequest,
  windows: readonly PlannedWindow[],
): AddressSpacePlan {
  checkBelow4G(request, windows);
  if (request.firmware === 'ovmf') return planOvmf(request, windows);
  checkSeabios(request, windows);
  return { mmio64Bytes: undefined };
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

/** What OVMF would do with one choice of a 64-bit window. */
interface OvmfReckoning {
  readonly asked: bigint | undefined;
  readonly aperture: Aperture;
  readonly sizes: readonly bigint[];
  readonly fits: boolean;
}

function planOvmf(request: BootRequest, windows: readonly PlannedWindow[]): AddressSpacePlan {
  const { physBits = DEFAULT_PHYS_BITS, mmio64Bytes } = request;
  const reckon = (bits: number, asked: bigint | undefined): OvmfReckoning => {
    const aperture = ovmfAperture({ endOfRam: endOfRam(request), physBits: bits, asked });
    const sizes = windows.map((window) => ovmfPortWindow(window, aperture));
    const inside = aperture.base + aperture.sizeBytes <= 1n << BigInt(bits);
    return { asked, aperture, sizes, fits: inside && total(sizes) <= aperture.sizeBytes };
  };
  const choices = mmio64Bytes === undefined ? [undefined, ...APERTURES] : [mmio64Bytes];
  const choose = (bits: number) =>
    choices.map((asked) => reckon(bits, asked)).find(({ fits }) => fits);
  const chosen = choose(physBits);
  if (chosen !== undefined) return { mmio64Bytes: chosen.asked };
  const enough = smallestPhysBits(physBits, (bits) => choose(bits) !== undefined);
  throw ovmfMisfit(request, reckon(physBits, mmio64Bytes), enough);
}

/** What OVMF can be asked for: any power of two above its own choice. */
const APERTURES: readonly bigint[] = Array.from(
  { length: 9 },
  (_, doubling) => MAX_MMIO64 >> BigInt(8 - doubling),
);

function ovmfMisfit(
  request: BootRequest,
  { aperture, sizes }: OvmfReckoning,
  enough: number | undefined,
): NoFitError {
  const { physBits = DEFAULT_PHYS_BITS, mmio64Bytes } = request;
  const [sum, ram] = [total(sizes), endOfRam(request)];
  const size = formatSize(aperture.sizeBytes);
  const end = aperture.base + aperture.sizeBytes;
  const space = `${physBits} address bits end at ${formatSize(1n << BigInt(physBits))}`;
  const own = `OVMF's 64-bit window is ${size}`;
  const larger = roundUpToPowerOfTwo(sum);
  const wanted = `one of ${formatSize(larger)} above RAM, which ends at ${formatSize(ram)}, does not fit: ${space}`;
  const reason =
    sum <= aperture.sizeBytes
      ? `${own} from ${formatSize(aperture.base)} (above RAM) up and ends at ${formatSize(end)}; ${space}`
      : mmio64Bytes === undefined
        ? `${own}, and ${wanted}`
        : `${own}, as asked for`;
  return new NoFitError('NO_WINDOW', `${tally(sizes)} of prefetchable windows; ${reason}`, {
    remedy:
      sum > aperture.sizeBytes && mmio64Bytes !== undefined
        ? `leave --mmio64 out, or ask for ${formatSize(larger)}`
        : remedyFor(enough),
    details: details(sum, physBits),
  });
}

/** What cannot be anywhere else: the windows for BARs of 32 bits, and for BARs that are not prefetchable. */
function checkBelow4G(request: BootRequest, windows: readonly PlannedWindow[]): void {
  const sizes = windows.map((window) => {
    const memory = window.memoryBytes ?? WINDOW_GRANULE;
    return request.firmware === 'ovmf'
      ? roundUpToPowerOfTwo(memory)
      : roundUp(memory, WINDOW_GRANULE);
  });
  const sum = total(sizes);
  if (sum <= LOW_MEMORY_ROOM) return;
  throw new NoFitError(
    'NO_WINDOW',
    `${tally(sizes)} of memory windows must lie below 4 GiB, where there is room for ` +
      formatSize(LOW_MEMORY_ROOM),
    {
      remedy: 'plan fewer root ports, or smaller windows for BARs below 4 GiB',
      details: { neededBytes: String(sum), roomBytes: String(LOW_MEMORY_ROOM) },
    },
  );
}

function smallestPhysBits(from: number, fits: (bits: number) => boolean): number | undefined {
  for (let bits = from + 1; bits <= MAX_PHYS_BITS; bits += 1) if (fits(bits)) return bits;
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
