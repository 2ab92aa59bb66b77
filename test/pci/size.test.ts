import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatSize, parseSize, roundUpToPowerOfTwo } from '../../src/pci/size.js';

describe('parseSize', () => {
  it('undoes formatSize', () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 1n << 70n), fc.nat(6), (value, shift) => {
        const bytes = value << BigInt(10 * shift);
        expect(parseSize(formatSize(bytes))).toBe(bytes);
      }),
    );
  });

  it.each([
    ['128G', 128n << 30n],
    ['128GiB', 128n << 30n],
    ['2mb', 2n << 20n],
    ['4194304B', 4194304n],
    ['1T', 1n << 40n],
    ['0', 0n],
  ])('reads %s', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it.each(['', 'G', '1.5G', '-1', '0x10', '1 G', '1GG', '128G\n'])('refuses %j', (text) => {
    expect(() => parseSize(text)).toThrow(expect.objectContaining({ code: 'BAD_SIZE' }));
  });
});

it('writes the largest suffix that loses nothing', () => {
  expect(formatSize(128n << 30n)).toBe('128G');
  expect(formatSize((1n << 30n) + 1n)).toBe('1073741825');
  expect(formatSize(1536n << 20n)).toBe('1536M');
});

it('rounds up to powers of two', () => {
  fc.assert(
    fc.property(fc.bigInt(1n, 1n << 64n), (value) => {
      const power = roundUpToPowerOfTwo(value);
      expect(power & (power - 1n)).toBe(0n);
      expect(power >= value && power < 2n * value).toBe(true);
    }),
  );
  expect(roundUpToPowerOfTwo(0n)).toBe(0n);
});
