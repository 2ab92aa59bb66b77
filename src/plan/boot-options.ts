import type { Bar } from '../pci/bar.js';
import type { Bdf } from '../pci/pci-address.js';
import { formatSize } from '../pci/size.js';
import { barsThrough, type WindowKind } from '../pci/window-fit.js';

/** Options of `boot-args` that make a port for host functions of one slot. */
export function bootOptionsForHost(functions: readonly Bdf[]): string {
  const [first] = [...functions].sort();
  return `--for ${first}${functions.length > 1 ? ' --members slot' : ''}`;
}

/** Options of `boot-args` that make a port for these BARs. */
export function bootOptionsForBars(bars: readonly Bar[]): string {
  const option = (name: string, window: WindowKind) => {
    const sum = barsThrough(window, bars).reduce((total, bar) => total + bar.sizeBytes, 0n);
    return sum === 0n ? [] : [`${name} ${formatSize(sum)}`];
  };
  return [...option('--window', 'prefetchable'), ...option('--memory-window', 'memory')].join(' ');
}
