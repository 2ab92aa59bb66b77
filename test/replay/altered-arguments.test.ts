import { describe, it } from 'vitest';
import { alterArguments } from './alterations.js';
import { alterableFixtures } from './fixtures.js';
import { expectAllToDiffer, expectAllToFail } from './replay.js';

// The unaltered transcripts replay (replay.test.ts). Here each is altered in one place, in every place there is.
describe.each(alterableFixtures())('$path', ({ scenario, transcript, every }) => {
  it('would fail with any argument of any command altered', async () => {
    await expectAllToDiffer(scenario, transcript, alterArguments(transcript));
  });

  it('fails at that very line', async () => {
    await expectAllToFail(scenario, alterArguments(transcript), every);
  });
});
