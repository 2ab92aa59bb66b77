import { expect, it } from 'vitest';
import { rootPort } from '../support/qemu.js';
import { boundariesOf, parseSweep } from '../support/sweep.js';
import { bootVfioHost } from '../support/vfio-host.js';

const SWEEP_MS = 20 * 60_000;

it(
  'gives a device of the host and takes it back, killed at every step boundary',
  { timeout: SWEEP_MS },
  async () => {
    await using host = await bootVfioHost({ devices: ['rng'] });
    const args = rootPort('rp0', 2);
    await using vm = await host.startQemu({ paused: true, hotplug: 'native', args });
    const specification = {
      address: vm.qmpPath,
      otherAddress: vm.otherQmpPath,
      qemuPid: vm.pid,
      request: { device: await host.bdf('rng') },
    };
    const { stdout, stderr } = await host.run(
      ['node', 'test/programs/kill-sweep.mjs', JSON.stringify(specification)],
      { deadlineMs: SWEEP_MS - 60_000 },
    );
    const lines = parseSweep(stdout, stderr);
    expect(lines.filter((line) => line.problem !== undefined)).toEqual([]);
    expect(boundariesOf(lines, 'attach')).toBe(16);
    // A detach that has to wait a moment for QEMU passes the boundaries of its suspension as well.
    expect(boundariesOf(lines, 'detach')).toBeGreaterThanOrEqual(24);
  },
);
