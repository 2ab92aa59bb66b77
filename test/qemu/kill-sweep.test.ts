import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { rootPort, startQemu } from '../support/qemu.js';
import { boundariesOf, parseSweep } from '../support/sweep.js';

describe('SIGKILL at every step boundary, on a live QEMU', () => {
  it.each([false, true])(
    'leaves nothing that cannot be mended (turns swapped: %s)',
    async (odd) => {
      const directory = mkdtempSync(join(tmpdir(), 'qmplug-kill-'));
      const args = [...rootPort('rp0', 2), ...rootPort('rp1', 3)];
      await using qemu = await startQemu({ paused: true, hotplug: 'native', args });
      const specification = {
        address: qemu.qmpPath,
        otherAddress: qemu.otherQmpPath,
        qemuPid: qemu.pid,
        stateDir: join(directory, 'state'),
        runDir: join(directory, 'run'),
        request: { id: 'd0', emulate: { driver: 'virtio-rng-pci' } },
        odd,
      };
      const { stdout, stderr } = spawnSync(
        process.execPath,
        ['test/programs/kill-sweep.mjs', JSON.stringify(specification)],
        { encoding: 'utf8' },
      );
      rmSync(directory, { recursive: true, force: true });
      const lines = parseSweep(stdout, stderr);
      expect(lines.filter((line) => line.problem !== undefined)).toEqual([]);
      // One step of an attach, three of a detach, four boundaries each; a detach that has to wait a
      // moment for QEMU passes those of its suspension as well.
      expect(boundariesOf(lines, 'attach')).toBe(4);
      expect(boundariesOf(lines, 'detach')).toBeGreaterThanOrEqual(12);
    },
  );
});
