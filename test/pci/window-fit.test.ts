import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { known, unknown } from '../../src/known.js';
import type { Bar, BarKind, Window } from '../../src/pci/bar.js';
import { fitBars, windowSizeFor, type PortWindows } from '../../src/pci/window-fit.js';

const GIB = 1n << 30n;
const MIB = 1n << 20n;

function bar(kind: BarKind, sizeBytes: bigint, index = 0): Bar {
  return { index, kind, sizeBytes };
}

function port(prefetchable: Window | undefined, memory?: Window): PortWindows {
  return { prefetchable: known(prefetchable), memory: known(memory) };
}

/** Tries every aligned place for every BAR, in the order given. */
function canPlace(
  sizes: readonly number[],
  base: number,
  limit: number,
  taken = new Set<number>(),
): boolean {
  const place = (rest: readonly number[]): boolean => {
    const [size, ...others] = rest;
    if (size === undefined) return true;
    for (let at = Math.ceil(base / size) * size; at + size - 1 <= limit; at += size) {
      const cells = Array.from({ length: size }, (_, offset) => at + offset);
      if (cells.some((cell) => taken.has(cell))) continue;
      for (const cell of cells) taken.add(cell);
      if (place(others)) return true;
      for (const cell of cells) taken.delete(cell);
    }
    return false;
  };
  return place(sizes);
}

describe('fitBars', () => {
  it('agrees with trying every placement', () => {
    let fitting = 0;
    let misfits = 0;
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(1, 2, 4, 8), { maxLength: 5 }),
        fc.nat(20),
        fc.integer({ min: 1, max: 24 }),
        fc.constantFrom<BarKind>('pref64', 'mem32', 'mem64', 'pref32', 'rom'),
        (sizes, base, length, kind) => {
          const window = { base: BigInt(base), limit: BigInt(base + length - 1) };
          const windows = kind === 'pref64' ? port(window) : port(undefined, window);
          const bars = sizes.map((size, index) => bar(kind, BigInt(size), index));
          const possible = canPlace(sizes, base, base + length - 1);
          expect(fitBars(bars, windows).kind === 'fits').toBe(possible);
          if (possible) fitting += 1;
          else misfits += 1;
        },
      ),
      { numRuns: 1500 },
    );
    expect(fitting).toBeGreaterThan(100);
    expect(misfits).toBeGreaterThan(100);
  });

  it('agrees with it beside what other devices on the bridge have', () => {
    let fitting = 0;
    let misfits = 0;
    const spans = fc.array(fc.record({ base: fc.nat(40), length: fc.nat(6) }), { maxLength: 4 });
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(1, 2, 4, 8), { maxLength: 5 }),
        fc.nat(20),
        fc.integer({ min: 1, max: 24 }),
        spans,
        (sizes, base, length, others) => {
          const cells = others.flatMap((span) =>
            Array.from({ length: span.length }, (_, offset) => span.base + offset),
          );
          // One of no length is what a hostile guest may show.
          const taken = others.map((span) => ({
            base: BigInt(span.base),
            limit: BigInt(span.base + span.length - 1),
          }));
          const window = { base: BigInt(base), limit: BigInt(base + length - 1) };
          const bars = sizes.map((size, index) => bar('pref64', BigInt(size), index));
          const possible = canPlace(sizes, base, base + length - 1, new Set(cells));
          expect(fitBars(bars, { ...port(window), taken }).kind === 'fits').toBe(possible);
          if (possible) fitting += 1;
          else misfits += 1;
        },
      ),
      { numRuns: 1500 },
    );
    expect(fitting).toBeGreaterThan(100);
    expect(misfits).toBeGreaterThan(100);
  });

  it('names the neighbours where they have the room', () => {
    const windows = port({ base: 0n, limit: 4n * MIB - 1n });
    const taken = [{ base: 0n, limit: MIB - 1n }];
    expect(fitBars([bar('pref64', 4n * MIB, 2)], { ...windows, taken })).toHaveProperty(
      'arithmetic',
      '4M BAR 2 (pref64): the prefetchable window 0x0-0x3fffff (4M) holds no aligned 4M span ' +
        'beside what the devices on the same bridge have',
    );
  });

  it('refuses the window that is long enough but not aligned, with the numbers', () => {
    const windows = port({ base: 0x100000000n, limit: 0x20ffffffffn });
    const fit = fitBars([bar('pref64', 128n * GIB, 2)], windows);
    expect(fit).toMatchObject({ kind: 'does-not-fit', window: 'prefetchable', bar: { index: 2 } });
    expect(fit).toHaveProperty(
      'arithmetic',
      '128G BAR 2 (pref64): the prefetchable window 0x100000000-0x20ffffffff (128G) ' +
        'holds no aligned 128G span',
    );
  });

  it.each([
    [0x4100000000n, 0x80ffffffffn],
    [0x100000000n, 0x40ffffffffn],
    [0x380000000000n, 0x381fffffffffn],
  ])('takes 128 GiB in 0x%s-0x%s, as the guest did', (base, limit) => {
    expect(fitBars([bar('pref64', 128n * GIB)], port({ base, limit }))).toEqual({ kind: 'fits' });
  });

  it('counts the last byte of a window in', () => {
    const one = bar('pref64', 16n * MIB);
    expect(fitBars([one], port({ base: 0n, limit: 16n * MIB - 1n })).kind).toBe('fits');
    expect(fitBars([one], port({ base: 0n, limit: 16n * MIB - 2n })).kind).toBe('does-not-fit');
  });

  it('needs no window for I/O and none at all for a function without BARs', () => {
    const closed: PortWindows = { prefetchable: unknown('no bus'), memory: unknown('no bus') };
    expect(fitBars([bar('io', 128n)], closed)).toEqual({ kind: 'fits' });
    expect(fitBars([], closed)).toEqual({ kind: 'fits' });
  });

  it('says unknown for an unread window, but a certain misfit wins', () => {
    const bars = [bar('pref64', MIB, 0), bar('mem32', MIB, 2)];
    const memory = unknown('the guest has not numbered its buses');
    const fits = fitBars(bars, { prefetchable: known({ base: 0n, limit: MIB - 1n }), memory });
    expect(fits).toEqual({
      kind: 'unknown',
      reason: "the port's memory window is unknown: the guest has not numbered its buses",
    });
    expect(fitBars(bars, { prefetchable: known(undefined), memory }).kind).toBe('does-not-fit');
  });
});

describe('windowSizeFor', () => {
  const gpu = [bar('pref64', 32n * GIB, 1), bar('pref64', 32n * MIB, 3), bar('mem32', 16n * MIB)];

  it('rounds the sum up, and doubles it where the firmware does not align that far', () => {
    expect(windowSizeFor(gpu, { alignmentBytes: 64n * GIB })).toBe(64n * GIB);
    expect(windowSizeFor(gpu, { alignmentBytes: 2n * MIB })).toBe(128n * GIB);
    expect(windowSizeFor(gpu, { alignmentBytes: MIB, window: 'memory' })).toBe(32n * MIB);
    expect(windowSizeFor([], { alignmentBytes: MIB })).toBe(0n);
  });

  it('always makes a window that fits, wherever the firmware puts it', () => {
    const sizes = fc.array(
      fc.nat(12).map((bits) => 1n << BigInt(bits)),
      {
        minLength: 1,
        maxLength: 8,
      },
    );
    fc.assert(
      fc.property(sizes, fc.nat(14), fc.bigInt(0n, 1n << 20n), (list, alignBits, multiple) => {
        const alignmentBytes = 1n << BigInt(alignBits);
        const bars = list.map((size, index) => bar('pref64', size, index));
        const base = multiple * alignmentBytes;
        const limit = base + windowSizeFor(bars, { alignmentBytes }) - 1n;
        expect(fitBars(bars, port({ base, limit })).kind).toBe('fits');
      }),
    );
  });
});
