import type { Bar, BarKind } from '../pci/bar.js';
import { fitBars, type WindowFit } from '../pci/window-fit.js';
import type { PciBusInfo, PciRegionInfo } from '../qmp/query-pci.js';
import { NOT_NUMBERED, viewBridge } from '../vm/pci-view.js';
import { findById } from './status.js';

/** Its number in `query-pci` (QEMU hw/pci/pci.h, PCI_ROM_SLOT). */
export const EXPANSION_ROM = 6;

/**
 * Whether the BARs that QEMU gave devices go through the windows of the port they share, as both are now.
 *
 * @returns undefined behind no bridge, where there is no window to go through.
 */
export function liveFit(
  pci: readonly PciBusInfo[],
  port: string,
  ids: readonly string[],
): WindowFit | undefined {
  const bridge = findById(pci, port)?.bridge;
  if (bridge === undefined) return undefined;
  const devices = ids.map((id) => findById(pci, id));
  if (devices.includes(undefined)) return { kind: 'unknown', reason: NOT_NUMBERED };
  const { memoryWindow, prefetchableWindow, takenSpans } = viewBridge(bridge, ids);
  const bars = devices.flatMap((device) => device?.regions.map(barOf) ?? []);
  return fitBars(bars, {
    memory: memoryWindow,
    prefetchable: prefetchableWindow,
    taken: takenSpans,
  });
}

/** A region of `query-pci` as the window rules see it. */
export function barOf(region: PciRegionInfo): Bar {
  return { index: region.bar, kind: kindOf(region), sizeBytes: region.sizeBytes };
}

function kindOf({ bar, kind, prefetchable, is64bit }: PciRegionInfo): BarKind {
  if (kind === 'io') return 'io';
  if (bar === EXPANSION_ROM) return 'rom';
  if (prefetchable) return is64bit ? 'pref64' : 'pref32';
  return is64bit ? 'mem64' : 'mem32';
}
