import { describe, it } from 'vitest';
import { alterArguments } from './alterations.js';
import { alterableFixtures } from './fixtures.js';
import { expectAllToFail } from './replay.js';

// The unaltered transcripts replay (replay.test.ts). Here each is altered in one place, in every place there is.
describe.each(alterableFixtures())('$path', ({ scenario, transcript, every }) => {
  it('fails at that very line with any argument of any command altered', async () => {
    await expectAllToFail(scenario, alterArguments(transcript), every);
  });
});
