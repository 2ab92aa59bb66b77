import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  compareBdf,
  fitsHostProperty,
  formatBdf,
  parseBdf,
  toBdf,
} from '../../src/pci/pci-address.js';

const anyAddress = fc.record({
  domain: fc.nat(0xffffffff),
  bus: fc.nat(0xff),
  device: fc.nat(0x1f),
  function: fc.nat(7),
});

describe('parseBdf', () => {
  it('undoes formatBdf for every address', () => {
    fc.assert(
      fc.property(anyAddress, (address) => {
        expect(parseBdf(formatBdf(address))).toEqual(address);
      }),
    );
  });

  it('reads the short form as domain 0 and never rewrites another domain', () => {
    expect(toBdf('3B:00.1')).toBe('0000:3b:00.1');
    expect(toBdf('1234:f0:1f.0')).toBe('1234:f0:1f.0');
  });

  it.each(['', '3b:00', '3b:20.0', '3b:00.8', '0:3b:00.0', '3b:00.0\n', '../3b:00.0'])(
    'refuses %j',
    (text) => {
      expect(() => parseBdf(text)).toThrow(expect.objectContaining({ code: 'BAD_BDF' }));
    },
  );
});

it('orders by number, so that a five-digit domain comes last', () => {
  const sorted = ['10000:01:00.0', '0000:81:00.0', '0000:3b:00.1', '0000:3b:00.0', 'ffff:00:00.0']
    .map(toBdf)
    .sort(compareBdf);
  expect(sorted).toEqual([
    '0000:3b:00.0',
    '0000:3b:00.1',
    '0000:81:00.0',
    'ffff:00:00.0',
    '10000:01:00.0',
  ]);
});

it('sends a device behind VMD by sysfsdev=, not host=', () => {
  expect(fitsHostProperty(parseBdf('10000:e1:00.0'))).toBe(false);
  expect(fitsHostProperty(parseBdf('ffff:e1:00.0'))).toBe(true);
});
