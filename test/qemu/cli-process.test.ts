import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { beforeAll, expect, it, vi } from 'vitest';
import { CliHome } from '../cli/run-cli.js';
import { rootPort, startQemu, type Qemu } from '../support/qemu.js';

const MAIN = join(import.meta.dirname, '../../dist/cli/main.js');

beforeAll(() => {
  if (!existsSync(MAIN)) throw new Error(`there is no ${MAIN}: npm run build`);
});

/** The command line as a process of its own, with nothing of this one's environment. */
class Qmplug {
  readonly child: ChildProcess;
  readonly stderr: Promise<string>;
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;

  constructor(home: CliHome, args: readonly string[]) {
    const { PATH } = process.env;
    this.child = spawn(process.execPath, [MAIN, ...args], {
      env: { PATH, ...home.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.ended = new Promise((resolve, reject) => {
      this.child.once('error', reject).once('close', (code, signal) => resolve({ code, signal }));
    });
    this.stderr = this.child.stderr === null ? Promise.resolve('') : text(this.child.stderr);
  }

  async result() {
    const stdout = this.child.stdout === null ? '' : await text(this.child.stdout);
    return { ...(await this.ended), stdout, stderr: await this.stderr };
  }
}

const acpiMachine = () =>
  startQemu({ hotplug: 'acpi', args: [...rootPort('rp0', 2), ...rootPort('rp1', 3)] });

const attachment = (qemu: Qemu) => [
  ...['attach', qemu.qmpPath, '--device', '{"driver":"pci-testdev"}', '--id', 'dev0', '--json'],
];

/** A detach that waits: its request is in the journal, and the guest never answers. */
async function startDetaching(home: CliHome, qemu: Qemu): Promise<Qmplug> {
  expect(await new Qmplug(home, attachment(qemu)).result()).toMatchObject({ code: 0 });
  const args = ['detach', qemu.qmpPath, 'dev0', '--json', '--timeout', '100'];
  const detaching = new Qmplug(home, args);
  await vi.waitFor(
    async () => {
      const { document } = await home.json(['topology', qemu.otherQmpPath]);
      expect(document.removals).toEqual([{ id: 'dev0', state: 'pending' }]);
    },
    { timeout: 60_000, interval: 100 },
  );
  return detaching;
}

it('attaches and ends by itself, with one document on stdout', async () => {
  using home = new CliHome();
  await using qemu = await acpiMachine();
  const { code, signal, stdout, stderr } = await new Qmplug(home, attachment(qemu)).result();
  expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
  expect(JSON.parse(stdout)).toMatchObject({
    attachment: { already: false, functions: [{ id: 'dev0', port: 'rp0' }] },
  });
});

it.each(['SIGINT', 'SIGTERM'] as const)('stops waiting on %s, with status 5', async (signal) => {
  using home = new CliHome();
  await using qemu = await acpiMachine();
  const detaching = await startDetaching(home, qemu);
  detaching.child.kill(signal);
  const { code, stdout, stderr } = await detaching.result();
  expect(code).toBe(5);
  expect(JSON.parse(stdout)).toMatchObject({ removals: [{ id: 'dev0', state: 'pending' }] });
  expect(stderr).toContain('nothing was freed yet');
});

it('ends at once on a second signal, and the next command takes it up', async () => {
  using home = new CliHome();
  await using qemu = await acpiMachine();
  const detaching = await startDetaching(home, qemu);
  // A QEMU that stands still: the last look before the end has to wait for it.
  process.kill(qemu.pid, 'SIGSTOP');
  try {
    // Which of the two comes first makes no difference; each is sent once.
    detaching.child.kill('SIGINT');
    detaching.child.kill('SIGTERM');
    const { code, signal } = await detaching.ended;
    expect(code).toBeNull();
    expect(['SIGINT', 'SIGTERM']).toContain(signal);
  } finally {
    process.kill(qemu.pid, 'SIGCONT');
  }
  await qemu.qmp.execute('system_reset');
  const again = await new Qmplug(home, ['detach', qemu.qmpPath, 'dev0', '--json']).result();
  expect(again).toMatchObject({ code: 0, stderr: '' });
});

it('says nothing of a reader that has left', async () => {
  using home = new CliHome();
  const listing = new Qmplug(home, ['devices', '--json']);
  listing.child.stdout?.destroy();
  expect(await listing.ended).toEqual({ code: 0, signal: null });
  expect(await listing.stderr).toBe('');
});

it('tells its own version', async () => {
  using home = new CliHome();
  expect(await new Qmplug(home, ['--version']).result()).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) as unknown,
    stderr: '',
  });
});

it('tells by its status that the result could not be written, and not by a stack', () => {
  using home = new CliHome();
  const full = openSync('/dev/full', 'w');
  const { status: code, stderr } = spawnSync(process.execPath, [MAIN, 'boot-args', '--json'], {
    env: home.env,
    stdio: ['ignore', full, 'pipe'],
    encoding: 'utf8',
  });
  closeSync(full);
  expect({ stderr, code }).toEqual({
    stderr: expect.stringMatching(/^qmplug: the result cannot be written: ENOSPC.*\n$/) as string,
    code: 1,
  });
});
