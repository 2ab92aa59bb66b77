import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseResource } from '../../src/pci/resource.js';

const hex = (value: bigint) => `0x${value.toString(16).padStart(16, '0')}`;
const row = (start: bigint, size: bigint, flags: bigint) =>
  `${hex(start)} ${hex(start + size - 1n)} ${hex(flags)}`;
const unused = row(0n, 1n, 0n);

describe('parseResource', () => {
  it('tells a GPU with a 64-bit prefetchable BAR, a 32-bit BAR, I/O and a ROM', () => {
    const text = [
      row(0xf0000000n, 0x1000000n, 0x40200n),
      row(0x2000000000n, 0x800000000n, 0x14220cn),
      unused,
      row(0x3000000000n, 0x2000000n, 0x14220cn),
      unused,
      row(0xe000n, 0x80n, 0x40101n),
      row(0xf1000000n, 0x80000n, 0x46200n),
      ...Array.from({ length: 6 }, () => unused),
      '',
    ].join('\n');
    expect(parseResource(text)).toEqual([
      { index: 0, kind: 'mem32', sizeBytes: 0x1000000n },
      { index: 1, kind: 'pref64', sizeBytes: 0x800000000n },
      { index: 3, kind: 'pref64', sizeBytes: 0x2000000n },
      { index: 5, kind: 'io', sizeBytes: 0x80n },
      { index: 6, kind: 'rom', sizeBytes: 0x80000n },
    ]);
  });

  it.each([
    [0x40200n, 'mem32'],
    [0x140204n, 'mem64'],
    [0x42208n, 'pref32'],
    [0x14220cn, 'pref64'],
    [0x40101n, 'io'],
  ])('reads flags %s as %s', (flags, kind) => {
    expect(parseResource(row(0x1000n, 0x1000n, flags))).toEqual([
      { index: 0, kind, sizeBytes: 0x1000n },
    ]);
  });

  it('never counts the VF BARs in rows 7 to 12, whatever is in them', () => {
    const anyRow = fc
      .record({
        start: fc.bigInt(0n, 1n << 60n),
        size: fc.bigInt(16n, 1n << 40n),
        flags: fc.constantFrom(0x140204n, 0x14220cn, 0x40200n),
      })
      .map(({ start, size, flags }) => row(start, size, flags));
    fc.assert(
      fc.property(fc.array(anyRow, { minLength: 7, maxLength: 17 }), (rows) => {
        const bars = parseResource(rows.join('\n'));
        expect(bars.map((bar) => bar.index)).toEqual([0, 1, 2, 3, 4, 5, 6]);
        expect(bars).toEqual(parseResource(rows.slice(0, 7).join('\n')));
      }),
    );
  });

  it('gives nothing for a function without BARs, for an empty file and for damaged rows', () => {
    expect(parseResource(`${Array.from({ length: 13 }, () => unused).join('\n')}\n`)).toEqual([]);
    expect(parseResource('')).toEqual([]);
    expect(parseResource('0x0000 what\n')).toEqual([]);
  });

  it('keeps the size of a BAR that the host has not placed', () => {
    expect(parseResource(row(0n, 0x4000n, 0x20140204n))).toEqual([
      { index: 0, kind: 'mem64', sizeBytes: 0x4000n },
    ]);
  });
});
