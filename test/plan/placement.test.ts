import { describe, expect, it } from 'vitest';
import { toBdf } from '../../src/pci/pci-address.js';
import { formatAddr, groupBySlot } from '../../src/plan/placement.js';

const groups = (...bdfs: string[]) =>
  groupBySlot(bdfs.map((bdf) => toBdf(bdf))).map((slot) =>
    slot.map(({ bdf, function: fn }) => `${bdf}@${fn}`),
  );

describe('groupBySlot', () => {
  it('puts the functions of a slot together, 1 to 7 first and 0 last', () => {
    expect(groups('0000:01:00.0', '0000:01:00.2', '0000:01:00.1', '0000:02:00.0')).toEqual([
      ['0000:01:00.1@1', '0000:01:00.2@2', '0000:01:00.0@0'],
      ['0000:02:00.0@0'],
    ]);
  });

  it('never leaves a slot without function 0, which the guest could not see', () => {
    expect(groups('0000:01:00.3')).toEqual([['0000:01:00.3@0']]);
    expect(groups('0000:01:00.2', '0000:01:00.1')).toEqual([['0000:01:00.2@2', '0000:01:00.1@0']]);
  });
});

it.each([
  [0, 0, '0x0'],
  [0, 1, '0x0.1'],
  [31, 7, '0x1f.7'],
])('writes slot %i function %i as %s', (slot, fn, text) => {
  expect(formatAddr(slot, fn)).toBe(text);
});
