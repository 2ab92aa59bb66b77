import type { Bar } from '../pci/bar.js';

const GIB = 1024 ** 3;
const BASE_MS = 30_000;
// Pinning memory the guest never touched means clearing it first: 0.27 s/GiB was published with Linux
// commit 4d83de6da265; mapping a large BAR page by page took about 31 ms/GiB before huge pfnmap.
const PIN_MS_PER_GIB = 300;
const MAP_MS_PER_GIB = 31;

/**
 * How long a VFIO `device_add` may take before its outcome counts as unknown: QEMU pins the guest's
 * memory and maps the BARs inside the command. `ramBytes` undefined counts as 1 TiB.
 */
export function vfioAddDeadlineMs(ramBytes: bigint | undefined, bars: readonly Bar[]): number {
  const ramGib = ramBytes === undefined ? 1024 : Number(ramBytes) / GIB;
  const barGib = bars.reduce((sum, bar) => sum + Number(bar.sizeBytes) / GIB, 0);
  return Math.ceil(BASE_MS + PIN_MS_PER_GIB * ramGib + MAP_MS_PER_GIB * barGib);
}

/** The same for an emulated device, which answers in milliseconds. */
export const EMULATED_ADD_DEADLINE_MS = BASE_MS;
