import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  formatDevno,
  guestDevno,
  isDevno,
  lowestFreeDevno,
  parseDevno,
  SET_SIZE,
  type Devno,
} from '../../src/ccw/index.js';

const anyParts = fc.record({ ssid: fc.nat(3), number: fc.nat(0xffff) });

describe('a device number', () => {
  it('is read back as it was written, in whatever case', () => {
    fc.assert(
      fc.property(anyParts, (parts) => {
        const devno = formatDevno(parts);
        expect(parseDevno(devno)).toEqual(parts);
        expect(parseDevno(devno.toUpperCase())).toEqual(parts);
        expect(isDevno(devno)).toBe(true);
      }),
    );
  });

  it('has four lower-case digits', () => {
    expect(formatDevno(parseDevno('FE.0.00AB'))).toBe('fe.0.00ab');
    expect(guestDevno(formatDevno({ ssid: 1, number: 0x42 }))).toBe('0.1.0042');
  });

  it.each([
    '',
    'fe.0.2',
    'fe.0.10000',
    'fe.4.0001',
    '0.0.0005',
    'fd.0.0001',
    'fe.0.0001\n',
    'ccw0',
  ])('is not %j', (text) => {
    expect(isDevno(text)).toBe(false);
    expect(() => parseDevno(text)).toThrow(expect.objectContaining({ code: 'BAD_ADDRESS' }));
  });

  it.each([
    [4, 0],
    [-1, 0],
    [0, 0x1_0000],
    [0, -1],
    [0.5, 0],
  ])('is not made of set %d and number %d', (ssid, number) => {
    expect(() => formatDevno({ ssid, number })).toThrow(/No device number/);
  });
});

describe('lowestFreeDevno', () => {
  it('never gives a number that is taken, and always the lowest that is not', () => {
    const anyTaken = fc.array(fc.record({ ssid: fc.nat(3), number: fc.nat(40) }));
    fc.assert(
      fc.property(anyTaken, fc.nat(3), (parts, ssid) => {
        const taken = parts.map(formatDevno);
        const free = parseDevno(lowestFreeDevno(ssid, taken) ?? '');
        expect(free.ssid).toBe(ssid);
        const below = Array.from({ length: free.number }, (_, number) =>
          formatDevno({ ssid, number }),
        );
        expect(below.every((devno) => taken.includes(devno))).toBe(true);
        expect(taken).not.toContain(formatDevno(free));
      }),
    );
  });

  it('gives a freed number again, and none where all 65,536 are taken', () => {
    const all = new Set<Devno>();
    for (let number = 0; number < SET_SIZE; number += 1) all.add(formatDevno({ ssid: 2, number }));
    expect(lowestFreeDevno(2, all)).toBeUndefined();
    expect(lowestFreeDevno(1, all)).toBe('fe.1.0000');
    all.delete('fe.2.7fff' as Devno);
    expect(lowestFreeDevno(2, all)).toBe('fe.2.7fff');
  });
});
