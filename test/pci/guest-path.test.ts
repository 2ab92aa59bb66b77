import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatGuestPath, parseGuestPath } from '../../src/pci/guest-path.js';

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
