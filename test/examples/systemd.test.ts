import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { requireCapability } from '../../scripts/lab/capability.mjs';
import { CliHome } from '../cli/run-cli.js';
import { gpuHost } from '../host/selector/gpu-host.js';

const FOLDER = join(import.meta.dirname, '../../examples/systemd');
const UNITS = ['qmplug-bind@.service', 'qmplug-bind-matching@.service'];
const MATCHING = readFileSync(join(FOLDER, 'qmplug-bind-matching@.service'), 'utf8');

it('the units are what systemd takes', () => {
  requireCapability('host-tools');
  const folder = mkdtempSync(join(tmpdir(), 'qmplug-units-'));
  try {
    for (const unit of UNITS) {
      const instance = join(folder, unit.replace('@', '@gpu0'));
      copyFileSync(join(FOLDER, unit), instance);
      const { status, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', instance], {
        encoding: 'utf8',
      });
      expect({ status, about: stderr.split('\n').filter((line) => line.includes(unit)) }).toEqual({
        status: 0,
        about: [],
      });
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** The commands of the unit, as systemd would hand them over for the instance `gpu0`. */
const commandsOf = (setting: string) =>
  [...MATCHING.matchAll(new RegExp(`^${setting}=(.*)$`, 'gm'))].map(([, command = '']) =>
    command.replaceAll('%i', 'gpu0').replaceAll('$$', '$'),
  );

it('the device of a pattern is looked up at the start, and the same one is given back', async () => {
  using host = gpuHost();
  host.addProcess(process.pid, { command: 'qmplug' });
  using home = new CliHome();
  const env = {
    QMPLUG_SYSFS_ROOT: join(host.root, 'sys'),
    QMPLUG_PROC_ROOT: join(host.root, 'proc'),
    QMPLUG_DEV_ROOT: join(host.root, 'dev'),
  };
  const [, selector = ''] = /^# {3}SELECTOR=(.*)$/m.exec(MATCHING) ?? [];
  const { stdout, status } = await home.run(['host', 'resolve', selector], { env });
  expect({ status, stdout }).toEqual({ status: 0, stdout: '0000:01:00.0\n' });

  const shell = commandsOf('ExecStartPre').find((command) => command.startsWith('/bin/sh'));
  const script = /^\/bin\/sh -c '(.*)'$/.exec(shell ?? '')?.[1] ?? '';
  const stub = join(home.directory, 'qmplug');
  writeFileSync(
    stub,
    `#!/bin/sh\n[ "$#$1$2" = 3hostresolve ] && [ "$3" = '${selector}' ] || exit 9\nprintf '${stdout.trim()}\\n'\n`,
  );
  chmodSync(stub, 0o755);
  const run = (asked: string) =>
    execFileSync('/bin/sh', ['-c', script], {
      env: {
        PATH: `${home.directory}:${process.env['PATH']}`,
        SELECTOR: asked,
        RUNTIME_DIRECTORY: home.directory,
      },
    });
  run(selector);
  const kept = readFileSync(join(home.directory, 'gpu0.env'), 'utf8');
  expect(kept).toBe('DEVICE=0000:01:00.0\n');
  // A selector that means nothing fails the start, and what was kept stays.
  expect(() => run('class:none')).toThrow();
  expect(readFileSync(join(home.directory, 'gpu0.env'), 'utf8')).toBe(kept);

  const device = kept.trim().slice('DEVICE='.length);
  const words = (command: string) =>
    command
      .replace('/usr/bin/env qmplug ', '')
      .split(' ')
      .map((word) => (word === '${DEVICE}' ? device : word));
  const [bind = '', release = ''] = [...commandsOf('ExecStart'), ...commandsOf('ExecStop')];
  const planned = await home.json([...words(bind), '--dry-run'], { env });
  expect(planned.document).toMatchObject({
    bound: [{ bdf: '0000:01:00.0' }, { bdf: '0000:01:00.1' }],
  });
  // Nothing is bound here, so there is nothing to give back.
  const released = await home.json(words(release), { env });
  expect(released.document).toMatchObject({
    released: [
      { bdf: '0000:01:00.0', state: 'already' },
      { bdf: '0000:01:00.1', state: 'already' },
    ],
  });
});
