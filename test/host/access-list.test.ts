import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { requireCapability } from '../../scripts/lab/capability.mjs';
import { accessTo, parseAccessList } from '../../src/host/access-list.js';
import { HostIoError, type HostEffects, type HostStat } from '../../src/host/effects.js';
import { createHostEffects } from '../../src/host/real-effects.js';
import { HostTree } from './sysfs-tree.js';

const QEMU = { uid: 64055, gid: 64055, groups: [78], capabilities: 0n };
const list = (...entries: string[]) =>
  ['user::rw-', 'group::---', 'mask::rw-', 'other::---', ...entries].join('\n');
const node = (mode: number, { uid = 0, gid = 0 } = {}): HostStat => ({
  kind: 'character',
  uid,
  gid,
  mode,
  rdev: undefined,
  inode: 1n,
});

function judge(stat: HostStat, acl: string | undefined, who = QEMU) {
  using tree = new HostTree();
  const effects: HostEffects = Object.create(tree.effects) as HostEffects;
  effects.readAcl = (path) =>
    acl === undefined
      ? Promise.reject(new HostIoError('ENOENT', 'run', `getfacl ${path}`))
      : Promise.resolve(parseAccessList(acl));
  return accessTo(effects, { path: '/dev/vfio/7', stat }, who);
}

it.each([
  ['its user', node(0o660), list('user:64055:rw-'), 'yes'],
  ['its user, for reading', node(0o660), list('user:64055:r--'), 'no'],
  ['its user, behind a mask', node(0o640), list('user:64055:rw-'), 'no'],
  ['another user', node(0o660), list('user:1:rw-'), 'no'],
  ['one of its groups', node(0o660), list('group:78:rw-'), 'yes'],
  ['one of two groups', node(0o660), list('group:78:r--', 'group:64055:rw-'), 'yes'],
  [
    'its user shut out, whom a group would let in',
    node(0o660),
    list('user:64055:---', 'group:78:rw-'),
    'no',
  ],
  [
    'the owning group, which is closed behind the mask',
    node(0o660, { gid: 78 }),
    list('user:1:rw-'),
    'no',
  ],
  ['everyone, whom no list is asked about', node(0o666), undefined, 'yes'],
  ['no list', node(0o660, { gid: 78 }), '', 'yes'],
  ['a mode without a mask, where no list is asked for', node(0o600), undefined, 'no'],
  ['the owner, whatever a list says', node(0o660, { uid: 64055 }), list('user:64055:---'), 'yes'],
  ['a list that cannot be read', node(0o660), undefined, 'perhaps'],
  ['a group, where no list can be read', node(0o660, { gid: 78 }), undefined, 'yes'],
])('%s', async (_, stat, acl, access) => {
  expect(await judge(stat, acl)).toBe(access);
});

it('asks nothing for one who is above all modes', async () => {
  const root = { ...QEMU, capabilities: 0b10n };
  expect(await judge(node(0o060), undefined, root)).toBe('yes');
});

it('understands nothing of what is no list', () => {
  expect(parseAccessList('')).toBeUndefined();
  expect(parseAccessList('getfacl: no such file')).toBeUndefined();
});

it('is the list that setfacl set, and survives a change of mode and owner and back', async () => {
  requireCapability('host-tools');
  const folder = mkdtempSync(join(tmpdir(), 'qmplug-acl-'));
  try {
    const path = join(folder, 'node');
    writeFileSync(path, '', { mode: 0o600 });
    const effects = createHostEffects();
    expect(await effects.readAcl(path)).toBeUndefined();
    execFileSync('setfacl', ['-m', 'u:64055:rw,g:78:r', path]);
    const before = await effects.readAcl(path);
    expect(before).toEqual({
      users: new Map([[64055, { read: true, write: true }]]),
      group: { read: false, write: false },
      groups: new Map([[78, { read: true, write: false }]]),
    });
    const { mode } = statSync(path);
    // Only root gives a file away; for anybody else the list has the change of mode to survive.
    const isRoot = process.getuid?.() === 0;
    if (isRoot) chownSync(path, 1234, 1234);
    chmodSync(path, mode | 0o600);
    if (isRoot) chownSync(path, 0, 0);
    chmodSync(path, mode);
    expect(await effects.readAcl(path)).toEqual(before);
    expect(await accessTo(effects, { path, stat: await effects.stat(path) }, QEMU)).toBe('yes');
    await expect(effects.readAcl(join(folder, 'none'))).rejects.toBeInstanceOf(HostIoError);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
