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
describe('SIGKILL at any moment, on a live QEMU', () => {
  it.each([
    { hotplug: 'native', kills: 24 },
    { hotplug: 'acpi', kills: 16 },
  ])('leads to before or to after, and nothing else stays ($hotplug)', async (storm) => {
    requireCapability('qemu');
    const { hotplug, kills } = storm;
    const { status, last } = await runScript<Storm>(
      'scripts/kill-storm.mjs',
      ...['--hotplug', hotplug, '--kills', String(kills)],
    );
    expect({ status, ...last }).toMatchObject({ status: 0, killed: kills, violations: [] });
    // Had either not come about, the storm would have shown nothing.
    expect(Math.min(last.before, last.after), JSON.stringify(last)).toBeGreaterThan(0);
  });
});
