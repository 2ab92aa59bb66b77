import { spawnSync } from 'node:child_process';
import { mkdtemp, open, readdir, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connectQmp } from '../../src/qmp/connect.js';
import { closeFd, getFd, queryStatus } from '../../src/qmp/commands.js';
import { startQemu, type Qemu } from '../support/qemu.js';

let qemu: Qemu;
let directory: string;
beforeAll(async () => {
  qemu = await startQemu({ paused: true });
  directory = await mkdtemp(join(tmpdir(), 'qmplug-files-'));
});
afterAll(async () => {
  await qemu.kill();
  await rm(directory, { recursive: true });
});

/** Files below the test's directory that QEMU has open. */
async function openInQemu(): Promise<readonly string[]> {
  const fds = `/proc/${qemu.pid}/fd`;
  const links = (await readdir(fds)).map((fd) => readlink(join(fds, fd)).catch(() => ''));
  const below = (await Promise.all(links)).filter((path) => path.startsWith(`${directory}/`));
  return below.map((path) => path.slice(directory.length + 1)).sort();
}

async function withFile<T>(name: string, work: (file: { fd: number }) => Promise<T>): Promise<T> {
  await writeFile(join(directory, name), name);
  const file = await open(join(directory, name));
  try {
    return await work(file);
  } finally {
    await file.close();
  }
}

it('a file that goes along with getfd is open in QEMU, until it is given back or replaced', async () => {
  await using session = await connectQmp(qemu.qmpPath);
  await withFile('iommu', (file) => getFd(session, 'iommu', file));
  expect(await openInQemu()).toEqual(['iommu']);
  await withFile('other', (file) => getFd(session, 'iommu', file));
  expect(await openInQemu()).toEqual(['other']);
  await closeFd(session, 'iommu');
  expect(await openInQemu()).toEqual([]);
  await expect(closeFd(session, 'iommu')).rejects.toMatchObject({
    failure: { kind: 'fd-not-found' },
  });
});

it('each file arrives with its own command, among others that are on their way', async () => {
  await using session = await connectQmp(qemu.qmpPath);
  const names = Array.from({ length: 20 }, (_, index) => `file${index}`);
  await Promise.all(
    names.flatMap((name) => [
      withFile(name, (file) => getFd(session, name, file)),
      queryStatus(session),
    ]),
  );
  expect(await openInQemu()).toEqual([...names].sort());
  for (const name of names.slice(0, 10)) await closeFd(session, name);
  expect(await openInQemu()).toEqual([...names.slice(10)].sort());
  for (const name of names.slice(10)) await closeFd(session, name);
});

it('QEMU that is asked for a file with none along says so', async () => {
  await using session = await connectQmp(qemu.qmpPath);
  await expect(session.execute('getfd', { fdname: 'none' })).rejects.toMatchObject({
    failure: { kind: 'fd-not-found' },
  });
});

it('without the optional package nothing is sent, the reason is told, and the session goes on', async () => {
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ['--import', './test/programs/without-koffi.mjs', 'test/programs/pass-file.mjs', qemu.qmpPath],
    { encoding: 'utf8' },
  );
  expect(stderr).toBe('');
  expect(JSON.parse(stdout)).toMatchObject({
    obstacle: 'the optional package koffi is not installed: npm install koffi',
    error: {
      name: 'RefusedError',
      code: 'NO_FD_PASSING',
      remedy: expect.stringContaining('npm install koffi') as unknown,
    },
    status: { status: 'prelaunch' },
  });
  expect(await openInQemu()).toEqual([]);
});
