import { expect, it } from 'vitest';
import { ALSO } from './all-cases.js';
import { answerOf } from './answer-of.js';

it.each(ALSO)('%s, %s: %s', async (id, _, verdict, change) => {
  const finding = await answerOf(id, change);
  expect(finding).toMatchObject({ id, verdict });
  if (verdict === 'warn' || verdict === 'fail') {
    expect(finding?.remedy).toMatch(/./);
    expect(finding?.read.length).toBeGreaterThan(0);
  }
});
