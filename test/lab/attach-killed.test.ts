import { expect, it } from 'vitest';
import { rootPort } from '../support/qemu.js';
import { boundariesOf, sweepOn } from '../support/sweep.js';
import { bootVfioHost } from '../support/vfio-host.js';

const SWEEP_MS = 20 * 60_000;

it(
  'gives a device of the host and takes it back, killed at every step boundary',
  { timeout: SWEEP_MS },
  async () => {
    await using host = await bootVfioHost({ devices: ['rng'] });
    const args = rootPort('rp0', 2);
    await using vm = await host.startQemu({ paused: true, hotplug: 'native', args });
    const lines = await sweepOn(host, vm, await host.bdf('rng'), SWEEP_MS - 60_000);
    expect(lines.filter((line) => line.problem !== undefined)).toEqual([]);
    expect(boundariesOf(lines, 'attach')).toBe(16);
    // A detach that has to wait a moment for QEMU passes the boundaries of its suspension as well.
    expect(boundariesOf(lines, 'detach')).toBeGreaterThanOrEqual(24);
  },
);
