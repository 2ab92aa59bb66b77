import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  createLiveness,
  isAlive,
  parseProcessStat,
  readProcess,
  seesWholeHost,
} from '../../src/host/process.js';
import { createHostEffects } from '../../src/host/real-effects.js';
import { known } from '../../src/known.js';
import { BOOT_ID, HostTree } from './sysfs-tree.js';

describe('parseProcessStat', () => {
  it.each(['qemu', 'a b', ') R 1 2 3', '(((', 'tmux: server'])('survives the name %j', (name) => {
    const tail = Array.from({ length: 49 }, (_, index) => index + 4).join(' ');
    expect(parseProcessStat(`812 (${name}) S ${tail}\n`)).toEqual({
      command: name,
      state: 'S',
      threadCount: 20,
      startTime: '22',
    });
  });

  it.each(['', '812', '812 (x', '812 (x) S 1 2'])('refuses %j', (text) => {
    expect(parseProcessStat(text)).toBeUndefined();
  });

  it('reads this very process', () => {
    const stat = parseProcessStat(readFileSync('/proc/self/stat', 'utf8'));
    expect(stat?.startTime).toMatch(/^\d+$/);
    expect(stat?.threadCount).toBeGreaterThan(1);
  });
});

describe('isAlive', () => {
  const qemu = { bootId: BOOT_ID, pid: 812, startTime: '5000', pidNamespace: 'pid:[4026531836]' };

  it.each([
    ['the same process', { startTime: 5000 }, qemu, known(true)],
    ['a later one of that number', { startTime: 5001 }, qemu, known(false)],
    ['one of an earlier boot', { startTime: 5000 }, { ...qemu, bootId: 'other' }, known(false)],
    ['one nobody has reaped', { startTime: 5000, state: 'Z' }, qemu, known(false)],
    [
      'one whose first thread has ended',
      { startTime: 5000, state: 'Z', threadCount: 3 },
      qemu,
      known(true),
    ],
  ])('judges %s', async (_, setup, owner, expected) => {
    using tree = new HostTree();
    tree.addProcess(812, setup);
    expect(await isAlive(tree.effects, owner)).toEqual(expected);
  });

  it('holds a missing process dead only where /proc shows other processes', async () => {
    using tree = new HostTree();
    expect(await isAlive(tree.effects, qemu)).toEqual(known(false));
    tree.remove('/proc/1');
    expect(await isAlive(tree.effects, qemu)).toMatchObject({ known: false });
  });

  it('does not know of another PID namespace', async () => {
    using tree = new HostTree();
    tree.addProcess(812, { startTime: 5000 });
    const elsewhere = { ...qemu, pidNamespace: 'pid:[4026532281]' };
    expect(await isAlive(tree.effects, elsewhere)).toMatchObject({ known: false });
  });

  it('is unknown where /proc cannot be read', async () => {
    using tree = new HostTree();
    tree.remove('/proc/sys/kernel/random/boot_id');
    expect(await isAlive(tree.effects, qemu)).toMatchObject({ known: false });
  });
});

it('numbers a process in the namespace it was seen from', async () => {
  using tree = new HostTree();
  tree.addProcess(812, { command: 'qemu', startTime: 5000 });
  tree.link('/proc/812/ns/pid', 'pid:[4026532281]');
  expect(await readProcess(tree.effects, 812)).toEqual({
    bootId: BOOT_ID,
    pid: 812,
    startTime: '5000',
    pidNamespace: 'pid:[4026531836]',
    command: 'qemu',
  });
  expect(await readProcess(tree.effects, 813)).toBeUndefined();
});

it('knows that a nested PID namespace does not show the host', async () => {
  using tree = new HostTree();
  expect(await seesWholeHost(tree.effects)).toBe(true);
  tree.link('/proc/self/ns/pid', 'pid:[4026532281]');
  expect(await seesWholeHost(tree.effects)).toBe(false);
});

it('knows itself to be alive', async () => {
  const liveness = createLiveness(createHostEffects());
  const self = await liveness.self();
  expect(self.pid).toBe(process.pid);
  expect(await liveness.isAlive(self)).toEqual(known(true));
  expect(await liveness.isAlive({ ...self, startTime: '1' })).toEqual(known(false));
});

it('refuses to change anything where /proc is a tree that does not know this process', async () => {
  using tree = new HostTree();
  await expect(createLiveness(tree.effects, 4711).self()).rejects.toMatchObject({
    code: 'HOST_UNREADABLE',
    message: '/proc does not show this process (4711)',
    remedy: expect.stringContaining('stands in for it') as string,
  });
});
