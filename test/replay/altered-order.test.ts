import { describe, it } from 'vitest';
import { dropCommands, dropMessages, swapCommands, swapEvents } from './alterations.js';
import { alterableFixtures } from './fixtures.js';
import { expectAllToFail } from './replay.js';

describe.each(alterableFixtures())('$path fails', ({ scenario, transcript, every }) => {
  it('with any two commands swapped that follow each other and differ', async () => {
    await expectAllToFail(scenario, swapCommands(transcript), every);
  });

  it('with any command left out together with its answer', async () => {
    await expectAllToFail(scenario, dropCommands(transcript), every);
  });

  it('with any message left out', async () => {
    await expectAllToFail(scenario, dropMessages(transcript), every);
  });

  const swaps = swapEvents(transcript);
  if (swaps.length === 0) return;
  it('with any two events swapped that follow each other and differ', async () => {
    await expectAllToFail(scenario, swaps, every);
  });
});
