import { describe, expect, it } from 'vitest';
import { requireCapability } from '../../scripts/lab/capability.mjs';
import { runScript } from '../support/run-script.js';

interface Storm {
  readonly seed: number;
  readonly killed: number;
  readonly before: number;
  readonly after: number;
  readonly violations: readonly string[];
}

// `npm run kill-storm` is the same for longer.
const TEN_MINUTES = 600_000;

describe('SIGKILL at any moment, on a live QEMU', () => {
  it.each([
    { hotplug: 'native', kills: 24 },
    { hotplug: 'acpi', kills: 16 },
  ])(
    'leads to before or to after, and nothing else stays ($hotplug)',
    async ({ hotplug, kills }) => {
      requireCapability('qemu');
      const { status, last } = await runScript<Storm>(
        'scripts/kill-storm.mjs',
        ...['--hotplug', hotplug, '--kills', String(kills)],
      );
      expect({ status, ...last }).toMatchObject({ status: 0, killed: kills, violations: [] });
      // Had neither come about, nothing was hit.
      expect(last.before + last.after, JSON.stringify(last)).toBeGreaterThan(0);
    },
    TEN_MINUTES,
  );
});
