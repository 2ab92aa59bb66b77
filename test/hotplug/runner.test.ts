import { expect, it } from 'vitest';
import { StepError } from '../../src/engine/step-errors.js';
import { hostLink } from '../../src/hotplug/live-link.js';
import { PlanRunner } from '../../src/hotplug/runner.js';
import type { HotplugResult } from '../../src/hotplug/settle.js';
import { createHostWorld, environmentOf } from './simulated.js';

const CAUSE = new StepError('GIVEN_BACK', 'd0 has left already');

/** What waits while it is taken back; the journal has nothing of it, for another process has ended it. */
const WAITING: HotplugResult = {
  kind: 'waiting',
  step: 0,
  reason: 'QEMU has it open',
  cause: CAUSE,
  progress: {
    plan: {
      id: 'p1',
      kind: 'attach',
      scope: 'host',
      commit: { step: 0, at: 'done' },
      snapshotHash: '',
      subject: { kind: 'host', bootId: 'b', devices: [] },
      steps: [],
    },
    steps: [],
    committed: false,
    turnedBack: CAUSE.message,
    ended: undefined,
  },
};

it('does not call done what another process has taken back to the end, and knows why it was', async () => {
  const world = createHostWorld({ seed: 1 });
  const runner = new PlanRunner(environmentOf(world.startController()), hostLink());
  const patience = { endsAt: world.clock.now() + 1_000, signal: undefined };
  const result = await world.run(runner.drive(WAITING, patience));
  expect(result).toMatchObject({ kind: 'undone', cause: CAUSE });
});
