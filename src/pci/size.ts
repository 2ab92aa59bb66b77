import { InputError } from '../errors.js';

const SUFFIXES = ['', 'K', 'M', 'G', 'T', 'P', 'E'] as const;
const SIZE = /^(\d+)([KMGTPE]?)(?:i?B)?$/i;

/**
 * Reads a size as QEMU's command line writes it: `128G`, `4194304B`, `2M`. Suffixes are binary
 * (K = 1,024) and may be spelled `GiB` or `GB`; fractions are refused, as no window has any.
 *
 * @returns bytes.
 * @throws {InputError} `BAD_SIZE` for any other text.
 */
export function parseSize(text: string): bigint {
  const match = SIZE.exec(text);
  if (!match) {
    throw new InputError('BAD_SIZE', `Not a size: ${JSON.stringify(text)}`, {
      remedy: 'write whole bytes with a binary suffix, for example 128G or 2M',
    });
  }
  const [, digits = '', suffix = ''] = match;
  const exponent = SUFFIXES.findIndex((known) => known === suffix.toUpperCase());
  return BigInt(digits) << BigInt(10 * exponent);
}

/**
 * Writes bytes with the largest suffix that loses nothing: `128G`, `4194305`. `parseSize` reads
 * back the same number.
 */
export function formatSize(bytes: bigint): string {
  let value = bytes;
  let exponent = 0;
  while (value !== 0n && value % 1024n === 0n && exponent < SUFFIXES.length - 1) {
    value /= 1024n;
    exponent += 1;
  }
  return `${value}${SUFFIXES[exponent] ?? ''}`;
}

/** The smallest power of two that is not below `value`; 0 for 0. */
export function roundUpToPowerOfTwo(value: bigint): bigint {
  if (value === 0n) return 0n;
  let power = 1n;
  while (power < value) power <<= 1n;
  return power;
}
