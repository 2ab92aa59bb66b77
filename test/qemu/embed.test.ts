import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json, text } from 'node:stream/consumers';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { rootPort, startQemu, type Qemu } from '../support/qemu.js';

const ROOT = join(import.meta.dirname, '../..');
const PORTS = [...rootPort('rp0', 2), ...rootPort('rp1', 3)];

beforeAll(() => {
  const built = join(ROOT, 'dist/index.js');
  if (!existsSync(built)) throw new Error(`there is no ${built}: npm run build`);
});

describe('the embedded shim, on a real QEMU', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'qmplug-embed-'));
  });
  afterEach(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  /** examples/embed/main.mjs as a process of its own. */
  const start = (...args: readonly string[]) => {
    const child = spawn(process.execPath, ['examples/embed/main.mjs', ...args], {
      cwd: ROOT,
      env: { PATH: process.env['PATH'], STATE_DIR: directory },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const answer = async () => {
      const stderr = text(child.stderr);
      const [answered] = await Promise.allSettled([json(child.stdout)]);
      if (answered.status === 'fulfilled') return answered.value;
      throw new Error(`the shim ended without an answer: ${await stderr}`);
    };
    return { child, answer: answer() };
  };
  const shim = (...args: readonly string[]) => start(...args).answer;
  const request = (id: string, more: object = {}) =>
    JSON.stringify({ emulate: { driver: 'pci-testdev' }, id, ...more });

  it('gives a device and takes it back', async () => {
    await using qemu = await startQemu({ paused: true, hotplug: 'native', args: PORTS });
    expect(await shim('add', qemu.qmpPath, request('d0'))).toEqual({
      recovered: [],
      steps: ['AddDevice'],
      devices: [{ id: 'd0', port: 'rp0', guestPath: '02/00' }],
      freePorts: ['rp1'],
    });
    expect(await busOf(qemu, 'd0')).toBe('/machine/peripheral/rp0/rp0');
    expect(await shim('remove', qemu.qmpPath, 'd0')).toEqual({
      removals: [{ id: 'd0', state: 'unplugged' }],
      pending: null,
    });
    expect(await devicesIn(qemu)).toEqual(['rp0', 'rp1']);
  });

  it('tells by the class of an error how far it came', async () => {
    await using qemu = await startQemu({ paused: true, args: PORTS });
    const before = await devicesIn(qemu);
    expect(await shim('add', qemu.qmpPath, request('d0', { port: 'rp7' }))).toMatchObject({
      code: 'NO_SUCH_PORT',
      remedy: expect.stringContaining('rp0') as string,
      fate: 'not here: nothing was changed',
    });
    expect(await shim('add', qemu.qmpPath, request('no id'))).toMatchObject({
      code: 'BAD_ID',
      fate: 'the request is wrong: nothing was sent',
    });
    const refused = { emulate: { driver: 'virtio-net-pci', netdev: 'not-there' } };
    expect(await shim('add', qemu.qmpPath, request('d0', refused))).toMatchObject({
      code: 'STEP_FAILED',
      fate: 'it failed: everything was undone',
    });
    expect(await shim('add', join(directory, 'nobody.sock'), request('d0'))).toMatchObject({
      code: 'CONNECT_FAILED',
      fate: 'the VM does not answer: try again',
    });
    expect(await devicesIn(qemu)).toEqual(before);
  });

  it('stops waiting at SIGTERM, and the next shim finishes what was begun', async () => {
    await using qemu = await startQemu({ paused: true, hotplug: 'acpi', args: PORTS });
    await shim('add', qemu.qmpPath, request('d0'));
    const removing = start('remove', qemu.qmpPath, 'd0');
    // Without a guest nobody answers; the journal tells when the removal waits.
    await vi.waitFor(() => expect(journalIn(directory)).toContain('"state":"waiting"'), {
      timeout: 30_000,
    });
    removing.child.kill('SIGTERM');
    expect(await removing.answer).toEqual({
      removals: [{ id: 'd0', state: 'pending' }],
      pending: expect.stringContaining('d0') as string,
    });
    await qemu.qmp.execute('system_reset');
    await qemu.qmp.waitForDeleted('d0');
    expect(await shim('add', qemu.qmpPath, request('d1'))).toMatchObject({
      recovered: ['d0'],
      devices: [{ id: 'd1', port: 'rp0' }],
    });
  });
});

it('a program that embeds qmplug loads nothing that only the command line or the daemon needs', () => {
  const hook = `import { writeSync } from 'node:fs';
    export async function resolve(specifier, context, next) {
      const resolved = await next(specifier, context);
      writeSync(1, resolved.url + '\\n');
      return resolved;
    }`;
  const program = `import { register } from 'node:module';
    register('data:text/javascript,' + encodeURIComponent(${JSON.stringify(hook)}));
    await import('qmplug');`;
  const loaded = execFileSync(process.execPath, ['--input-type=module', '-e', program], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  const packages = [...loaded.matchAll(/\/node_modules\/((?:@[^/]+\/)?[^/]+)\//g)].map(
    ([, name]) => name,
  );
  expect([...new Set(packages)].sort()).toEqual(['eventemitter3', 'p-queue', 'p-timeout']);
  const files = [...loaded.matchAll(/^file:\/\/(.*\/dist\/.*)$/gm)].map(([, path = '']) => path);
  const modules = files.flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(/^\/\/ build\/(.*)$/gm)].map(([, name]) => name),
  );
  expect(modules).toContain('hotplug/vm.js');
  expect(modules.filter((name) => /^(cli|daemon|simulator|transcript)\//.test(name ?? ''))).toEqual(
    [],
  );
});

/** Everything the journal says, of all plans. */
function journalIn(directory: string): string {
  const files = readdirSync(directory, { recursive: true, encoding: 'utf8' });
  return files
    .filter((file) => file.endsWith('.jsonl'))
    .map((file) => readFileSync(join(directory, file), 'utf8'))
    .join('');
}

async function devicesIn(qemu: Qemu): Promise<readonly string[]> {
  const entries = (await qemu.qmp.execute('qom-list', { path: '/machine/peripheral' })) as {
    readonly name: string;
    readonly type: string;
  }[];
  return entries
    .filter(({ type }) => type.startsWith('child<'))
    .map(({ name }) => name)
    .sort();
}

async function busOf(qemu: Qemu, id: string): Promise<unknown> {
  const path = `/machine/peripheral/${id}`;
  return qemu.qmp.execute('qom-get', { path, property: 'parent_bus' });
}
