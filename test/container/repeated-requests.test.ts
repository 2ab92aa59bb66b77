import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { createEnvironment, openVm } from '../../src/index.js';
import { rootPort, startQemu } from '../support/qemu.js';

it('QEMU 5.2 asks for a device once and never again, and a detach that waits says so', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'qmplug-'));
  onTestFinished(() => {
    rmSync(directory, { recursive: true });
  });
  const environment = createEnvironment({ stateDir: directory, runDir: directory });
  await using qemu = await startQemu({ version: '5.2', args: rootPort('rp0', 2) });
  await using vm = await openVm(qemu.qmpPath, { environment });
  await vm.attach({ emulate: { driver: 'pci-testdev' }, id: 'd0' });
  const { removals, pending } = await vm.detach('d0', { timeoutMs: 10_000 });
  expect(removals).toMatchObject([{ id: 'd0', state: 'pending' }]);
  expect(pending).toContain('QEMU refuses to ask for d0 again');

  const latched = 'Device d0 is already in the process of unplug';
  await qemu.qmp.execute('system_reset');
  await expect(qemu.qmp.execute('device_del', { id: 'd0' })).rejects.toThrow(latched);
});
