import { describe, expect, it } from 'vitest';
import { requireCapability } from '../../scripts/lab/capability.mjs';
import { runScript } from '../support/run-script.js';

interface Verdict {
  readonly cycles: number;
  readonly flat: boolean;
  readonly memory: readonly { readonly kind: string; readonly flat: boolean }[];
  readonly stayed: readonly string[];
  readonly missing: readonly string[];
}

const TEN_MINUTES = 600_000;

// `npm run soak` is the same for longer. A native guest mostly waits, so all run beside each other.
describe('attaches and detaches, over and over', () => {
  it.concurrent.each([
    { mode: 'reset', cycles: 1_000 },
    { mode: 'acpi-guest', cycles: 300 },
    { mode: 'native-guest', cycles: 5 },
  ])(
    'leave nothing in QEMU, on the host or in memory: $cycles times, $mode',
    async ({ mode, cycles }) => {
      requireCapability(mode === 'reset' ? 'qemu' : 'guest');
      const { status, last } = await runScript<Verdict>(
        'scripts/soak.mjs',
        ...['--mode', mode, '--cycles', String(cycles), '--json'],
      );
      expect(last).toMatchObject({ cycles, stayed: [], missing: [] });
      expect(last.memory.filter(({ flat }) => !flat)).toEqual([]);
      expect({ status, flat: last.flat }).toEqual({ status: 0, flat: true });
    },
    TEN_MINUTES,
  );
});
