import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  formatRootedPath,
  parseRootedPath,
  formatGuestPath,
  parseGuestPath,
} from '../../src/pci/guest-path.js';

const anyPath = fc.array(fc.record({ device: fc.nat(31), function: fc.nat(7) }), {
  minLength: 1,
  maxLength: 5,
});

describe('parseGuestPath', () => {
  it('undoes formatGuestPath', () => {
    fc.assert(
      fc.property(anyPath, (path) => {
        expect(parseGuestPath(formatGuestPath(path))).toEqual(path);
      }),
    );
  });

  it.each(['', '/', '02/', '/02', '2/00', '20', '02.8', '02//00', '02/00\n', '0x02'])(
    'refuses %j',
    (text) => {
      expect(() => parseGuestPath(text)).toThrow(expect.objectContaining({ code: 'BAD_ADDRESS' }));
    },
  );
});

it('writes slots from the root bus down, and the function only where it is not 0', () => {
  const port = { device: 2, function: 0 };
  expect(formatGuestPath([port, { device: 0, function: 0 }])).toBe('02/00');
  expect(formatGuestPath([port, { device: 31, function: 1 }])).toBe('02/1f.1');
  expect(parseGuestPath('1F.0')).toEqual([{ device: 31, function: 0 }]);
});

describe('a guest path with its root', () => {
  const anyHop = fc.record({ device: fc.nat(31), function: fc.nat(7) });
  const anyRooted = fc.record({
    root: fc.record({ domain: fc.nat(0xffff), bus: fc.nat(0xff) }),
    path: fc.array(anyHop, { minLength: 1, maxLength: 8 }),
  });

  it('is read back as it was written', () => {
    fc.assert(
      fc.property(anyRooted, (rooted) => {
        expect(parseRootedPath(formatRootedPath(rooted))).toEqual(rooted);
      }),
    );
  });

  it('names its root only where that is not bus 0 of domain 0', () => {
    const path = [{ device: 2, function: 0 }];
    expect(formatRootedPath({ root: { domain: 0, bus: 0 }, path })).toBe('02');
    expect(formatRootedPath({ root: { domain: 0, bus: 0x80 }, path })).toBe('pci0000:80/02');
    expect(formatRootedPath({ root: { domain: 1, bus: 0 }, path })).toBe('pci0001:00/02');
  });

  it.each(['', 'pci0000:80', 'pci0000:80/', 'pci0:80/02', '80/02/zz'])('refuses %j', (text) => {
    expect(() => parseRootedPath(text)).toThrow(expect.objectContaining({ code: 'BAD_ADDRESS' }));
  });
});
