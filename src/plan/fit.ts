import type { Bar } from '../pci/bar.js';
import { barsThrough, fitBars, formatSize, windowSizeFor, type WindowKind } from '../pci/index.js';
import type { Port } from '../vm/types.js';
import type { Fit } from './allocate.js';

const MIB = 1024n ** 2n;
// What SeaBIOS aligns the windows of an empty port to when it pads nothing (SeaBIOS 1.16,
// fw/pciinit.c: PCI_BRIDGE_MEM_MIN is 2 MiB); OVMF aligns to more.
const LEAST_ALIGNMENT = 2n * MIB;

/**
 * Whether the BARs of everything that shares a port go through its windows: decided by the windows the
 * VM has, and before the firmware made any, by what the port asks the firmware for.
 */
export function fitOnPort(port: Port, bars: readonly Bar[]): Fit {
  const verdict = fitBars(bars, {
    memory: port.memoryWindow,
    prefetchable: port.prefetchableWindow,
    taken: port.takenSpans,
  });
  if (verdict.kind === 'fits') return verdict;
  if (verdict.kind === 'does-not-fit') return { kind: 'no', why: verdict.arithmetic };
  const planned = [
    fitReserve('prefetchable', bars, port.prefetchableReserve),
    fitReserve('memory', bars, port.memoryReserve),
  ];
  const settled =
    planned.find((fit) => fit.kind === 'no') ?? planned.find((fit) => fit.kind === 'unknown');
  if (settled === undefined) return { kind: 'fits' };
  return settled.kind === 'no' ? settled : { kind: 'unknown', why: verdict.reason };
}

function fitReserve(window: WindowKind, bars: readonly Bar[], reserve: bigint | undefined): Fit {
  const through = barsThrough(window, bars);
  const sum = through.reduce((total, bar) => total + bar.sizeBytes, 0n);
  // Every firmware gives a port at least this much of either window.
  const certain = reserve ?? LEAST_ALIGNMENT;
  if (windowSizeFor(bars, { alignmentBytes: LEAST_ALIGNMENT, window }) <= certain) {
    return { kind: 'fits' };
  }
  if (reserve === undefined || sum <= reserve) {
    return { kind: 'unknown', why: 'the firmware has not placed the window yet' };
  }
  return {
    kind: 'no',
    why: `the BARs need ${formatSize(sum)} of ${window} window, the port reserves ${formatSize(reserve)}`,
  };
}
