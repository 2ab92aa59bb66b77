import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { createHostEffects } from '../../src/host/index.js';
import { identifyVm } from '../../src/vm/index.js';
import { rootPort } from '../support/qemu.js';
import { QemuContainer } from '../support/qemu-container.js';

const MAIN = join(import.meta.dirname, '../../dist/cli/main.js');
const SIZES = { version: '7.2', paused: true, args: rootPort('rp0', 2) } as const;

it('proves a QEMU that has a network namespace of its own', async () => {
  await using qemu = await QemuContainer.start({ ...SIZES, network: 'none' });
  expect(await identifyVm(`unix:${qemu.qmpPath}`, createHostEffects())).toMatchObject({
    kind: 'process',
    pid: qemu.pid,
  });
});

/** The command line where it sees only its own processes, as in a container beside QEMU's. */
function runApart(directory: string, args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(
    'unshare',
    ['--pid', '--fork', '--mount-proc', process.execPath, MAIN, ...args, '--json'],
    {
      encoding: 'utf8',
      env: {
        PATH: process.env.PATH,
        QMPLUG_STATE_DIR: join(directory, 'state'),
        QMPLUG_RUN_DIR: join(directory, 'run'),
      },
    },
  );
  return { status, stderr, document: JSON.parse(stdout) as Record<string, unknown> };
}

it('shows a VM whose process it cannot see, and refuses it a device of the host', async () => {
  await using qemu = await QemuContainer.start(SIZES);
  const status = runApart(qemu.directory, ['status', qemu.qmpPath]);
  expect(status).toMatchObject({ status: 0, document: { ports: [{ id: 'rp0', state: 'free' }] } });
  const refused = runApart(qemu.directory, ['attach', qemu.qmpPath, '0000:00:01.0']);
  expect(refused).toMatchObject({
    status: 3,
    document: {
      error: {
        code: 'VM_NOT_LOCAL',
        details: { reason: 'this PID namespace does not show every process of the host' },
      },
    },
  });
});
