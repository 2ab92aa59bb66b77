import type { Known } from '../known.js';
import type { Bar, BarKind, Window } from './bar.js';
import { formatSize, roundUpToPowerOfTwo } from './size.js';

/** The bridge window a BAR is forwarded through. */
export type WindowKind = 'memory' | 'prefetchable';

/** What a port forwards; `undefined` is a bridge that forwards nothing of that kind. */
export interface PortWindows {
  readonly memory: Known<Window | undefined>;
  readonly prefetchable: Known<Window | undefined>;
  /** Spans of these windows that are others' already: of a bridge, its slots share them. In any order. */
  readonly taken?: readonly Window[] | undefined;
}

/** Whether BARs find room, with the numbers that decided. */
export type WindowFit<B extends Bar = Bar> =
  | { readonly kind: 'fits' }
  | {
      readonly kind: 'does-not-fit';
      /** The first BAR, in descending size, that finds no aligned span. */
      readonly bar: B;
      readonly window: WindowKind;
      readonly range: Window | undefined;
      /** The reckoning in words. */
      readonly arithmetic: string;
    }
  | { readonly kind: 'unknown'; readonly reason: string };

/**
 * Only a 64-bit prefetchable BAR may use the prefetchable window. A 32-bit prefetchable one goes
 * with the rest: the prefetchable window usually lies above 4 GiB, out of its reach. I/O BARs need no
 * window: a PCI Express function must work without I/O space (PCIe Base 5.0, 7.5.1.2.1).
 */
const WINDOW_OF = {
  io: undefined,
  mem32: 'memory',
  mem64: 'memory',
  pref32: 'memory',
  pref64: 'prefetchable',
  rom: 'memory',
} as const satisfies Record<BarKind, WindowKind | undefined>;

/** The BARs that go through one window, largest first. */
export function barsThrough<B extends Bar>(window: WindowKind, bars: readonly B[]): readonly B[] {
  return bars
    .filter((bar) => WINDOW_OF[bar.kind] === window)
    .sort((a, b) => (a.sizeBytes === b.sizeBytes ? 0 : a.sizeBytes < b.sizeBytes ? 1 : -1));
}

/**
 * Whether all the BARs find disjoint spans in the port's real windows, each with its base aligned to
 * its own size. Exact for powers of two: a placed larger BAR covers whole aligned spans of
 * every smaller size wherever it lies, so counting spans per size decides and no placement has to be
 * searched; spans that are taken only leave fewer to count. `bars` may belong to several functions of one slot.
 *
 * A certain misfit outweighs an unknown window.
 */
export function fitBars<B extends Bar>(bars: readonly B[], windows: PortWindows): WindowFit<B> {
  const verdicts = [
    fitWindow('prefetchable', barsThrough('prefetchable', bars), windows),
    fitWindow('memory', barsThrough('memory', bars), windows),
  ];
  return (
    verdicts.find((verdict) => verdict.kind === 'does-not-fit') ??
    verdicts.find((verdict) => verdict.kind === 'unknown') ?? { kind: 'fits' }
  );
}

function fitWindow<B extends Bar>(
  kind: WindowKind,
  bars: readonly B[],
  windows: PortWindows,
): WindowFit<B> {
  if (bars.length === 0) return { kind: 'fits' };
  const window = windows[kind];
  if (!window.known) {
    return { kind: 'unknown', reason: `the port's ${kind} window is unknown: ${window.reason}` };
  }
  const range = window.value;
  const gaps = range === undefined ? [] : gapsIn(range, windows.taken ?? []);
  const isShared = gaps.length !== 1 || gaps[0] !== range;
  let placed = 0n;
  for (const bar of bars) {
    const taken = placed / bar.sizeBytes;
    const spans = gaps.reduce((sum, gap) => sum + alignedSpans(gap, bar.sizeBytes), 0n);
    if (spans < taken + 1n) {
      const arithmetic = explain({ kind, range, bar, spans, taken, isShared });
      return { kind: 'does-not-fit', bar, window: kind, range, arithmetic };
    }
    placed += bar.sizeBytes;
  }
  return { kind: 'fits' };
}

/** What is left of a window between the spans that are taken; the window itself where none is. */
function gapsIn(range: Window, taken: readonly Window[]): readonly Window[] {
  const inside = taken
    .filter(({ base, limit }) => base <= range.limit && limit >= range.base && base <= limit)
    .sort((a, b) => (a.base === b.base ? 0 : a.base < b.base ? -1 : 1));
  if (inside.length === 0) return [range];
  const gaps: Window[] = [];
  let next = range.base;
  for (const { base, limit } of inside) {
    if (base > next) gaps.push({ base: next, limit: base - 1n });
    if (limit >= next) next = limit + 1n;
  }
  return next > range.limit ? gaps : [...gaps, { base: next, limit: range.limit }];
}

/** How many spans of `sizeBytes`, based at a multiple of it, lie inside the window. */
function alignedSpans(range: Window, sizeBytes: bigint): bigint {
  const first = (range.base + sizeBytes - 1n) / sizeBytes;
  const end = (range.limit + 1n) / sizeBytes;
  return end > first ? end - first : 0n;
}

function explain(found: {
  kind: WindowKind;
  range: Window | undefined;
  bar: Bar;
  spans: bigint;
  taken: bigint;
  isShared: boolean;
}): string {
  const { kind, range, bar, spans, taken, isShared } = found;
  const size = formatSize(bar.sizeBytes);
  const what = `${size} BAR ${bar.index} (${bar.kind})`;
  if (range === undefined) return `${what}: there is no ${kind} window`;
  const length = formatSize(range.limit - range.base + 1n);
  const window = `the ${kind} window 0x${range.base.toString(16)}-0x${range.limit.toString(16)} (${length})`;
  const beside = isShared ? ' beside what the devices on the same bridge have' : '';
  if (spans === 0n) return `${what}: ${window} holds no aligned ${size} span${beside}`;
  return `${what}: ${window} holds ${spans} aligned ${size} spans${beside}, and the larger BARs take ${taken}`;
}

/**
 * The reserve to ask for at boot so that the BARs fit wherever the firmware puts the window.
 *
 * S is the sum of the BARs rounded up to a power of two: powers of two packed in descending order
 * fit any block of length S that is aligned to S. Where the firmware aligns windows to less
 * than S, twice as much always contains such a block. Pass the alignment that the firmware guarantees:
 * 2 MiB under SeaBIOS without padding; at least S under OVMF, which aligns a window to its own size.
 *
 * @returns bytes; 0 when no BAR goes through that window.
 */
export function windowSizeFor(
  bars: readonly Bar[],
  options: { readonly alignmentBytes: bigint; readonly window?: WindowKind },
): bigint {
  const through = barsThrough(options.window ?? 'prefetchable', bars);
  const size = roundUpToPowerOfTwo(through.reduce((sum, bar) => sum + bar.sizeBytes, 0n));
  return options.alignmentBytes >= size ? size : 2n * size;
}
