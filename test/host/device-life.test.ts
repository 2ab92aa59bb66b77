import { describe, expect, it } from 'vitest';
import { findDeath } from '../../src/host/device-life.js';
import { HostIoError, type HostEffects } from '../../src/host/effects.js';
import { toBdf } from '../../src/pci/pci-address.js';

const GPU = toBdf('0000:3b:00.0');

function reading(answer: Uint8Array | HostIoError): HostEffects {
  const effects: HostEffects = Object.create({}) as HostEffects;
  effects.readBytes = async () => {
    if (answer instanceof HostIoError) throw answer;
    return answer;
  };
  return effects;
}

/** A header with these bytes; a VF has all ones as its vendor and device. */
function header(bytes: Readonly<Record<number, number>>): Uint8Array {
  const all = new Uint8Array(64);
  for (const [offset, value] of Object.entries(bytes)) all[Number(offset)] = value;
  return all;
}

describe('findDeath', () => {
  it.each([
    ['an ordinary function', header({ 0: 0xde, 1: 0x10 })],
    ['a multifunction device', header({ 0: 0xde, 1: 0x10, 0x0e: 0x80 })],
    ['a VF', header({ 0: 0xff, 1: 0xff, 2: 0xff, 3: 0xff })],
    ['a header of which nothing may be read', new Uint8Array(0)],
  ])('finds nothing on %s', async (_, bytes) => {
    expect(await findDeath(reading(bytes), GPU)).toEqual({ known: true, value: undefined });
  });

  it.each([
    ['all ones', new Uint8Array(64).fill(0xff), /all ones/],
    ['header type 0x7f', header({ 0: 0xde, 1: 0x10, 0x0e: 0x7f }), /0x7f/],
    ['header type 0xff', header({ 0: 0xde, 1: 0x10, 0x0e: 0xff }), /0x7f/],
  ])('finds %s', async (_, bytes, evidence) => {
    expect(await findDeath(reading(bytes), GPU)).toMatchObject({
      known: true,
      value: expect.stringMatching(evidence) as string,
    });
  });

  it('says nothing of a function that is gone, and does not guess of one it cannot read', async () => {
    const gone = new HostIoError('ENOENT', 'read', 'config');
    expect(await findDeath(reading(gone), GPU)).toEqual({ known: true, value: undefined });
    const late = new HostIoError('ETIMEDOUT', 'read', 'config', { stuck: true });
    expect(await findDeath(reading(late), GPU)).toMatchObject({ known: false });
  });
});
