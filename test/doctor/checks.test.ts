import { describe, expect, it } from 'vitest';
import { CHECKS } from '../../src/doctor/index.js';
import { CASES, ELSEWHERE } from './all-cases.js';
import { answerOf } from './answer-of.js';

const ids = CHECKS.map(({ id }) => id);

it('has its cases for every check', () => {
  expect(Object.keys(CASES).sort()).toEqual([...ids].sort());
  expect(new Set(ids).size).toBe(ids.length);
});

describe.each(Object.entries(CASES))('%s', (id, { ok, bad, unknown }) => {
  it('is ok', async () => {
    const finding = await answerOf(id, ok);
    expect(finding).toMatchObject({ id, verdict: 'ok', remedy: undefined });
  });

  if (bad !== undefined) {
    it(`tells to ${bad.verdict}, with what was read and a remedy`, async () => {
      const finding = await answerOf(id, bad);
      expect(finding).toMatchObject({ id, verdict: bad.verdict });
      expect(finding?.why).toMatch(/./);
      expect(finding?.remedy).toMatch(/./);
      expect(finding?.read.length).toBeGreaterThan(0);
    });
  }

  if (unknown !== undefined) {
    it('is unknown where it cannot be read, with the reason', async () => {
      const finding = await answerOf(id, unknown);
      expect(finding).toMatchObject({ id, verdict: 'unknown' });
      expect(finding?.why).toMatch(/./);
    });
  }
});

const ofVm = CHECKS.filter(({ needs }) => needs === 'vm' || needs === 'pair').map(({ id }) => id);

it.each(ofVm)('%s is unknown of a VM that is not proven to run here', async (id) => {
  expect(await answerOf(id, ELSEWHERE)).toMatchObject({
    verdict: 'unknown',
    remedy: expect.stringContaining('--qemu-pid') as unknown,
  });
});
