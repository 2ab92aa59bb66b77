import { describe, it } from 'vitest';
import { dropCommands, dropMessages, swapCommands, swapEvents } from './alterations.js';
import { playableFixtures } from './fixtures.js';
import { expectAllToFail } from './replay.js';

describe.each(playableFixtures())('$path fails', ({ scenario, transcript }) => {
  it('with any two commands swapped that follow each other and differ', async () => {
    await expectAllToFail(scenario, swapCommands(transcript));
  });

  it('with any command left out together with its answer', async () => {
    await expectAllToFail(scenario, dropCommands(transcript));
  });

  it('with any message left out', async () => {
    await expectAllToFail(scenario, dropMessages(transcript));
  });

  const swaps = swapEvents(transcript);
  if (swaps.length === 0) return;
  it('with any two events swapped that follow each other and differ', async () => {
    await expectAllToFail(scenario, swaps);
  });
});
