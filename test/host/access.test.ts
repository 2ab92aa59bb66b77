import { describe, expect, it } from 'vitest';
import {
  grantAccess,
  recordAccess,
  requireContainer,
  restoreAccess,
  type AccessRecord,
} from '../../src/host/access.js';
import { canReadWrite, parseCredentials, readCredentials } from '../../src/host/credentials.js';
import { parseAccessList } from '../../src/host/access-list.js';
import { HostIoError, type HostEffects, type HostStat } from '../../src/host/effects.js';
import { createHostEffects } from '../../src/host/real-effects.js';
import { HostTree } from './sysfs-tree.js';

const NODE = '/dev/vfio/7';
const LIST = 'user::rw-\nuser:64055:rw-\ngroup::---\nmask::rw-\nother::---\n';
const QEMU = { uid: 64055, gid: 64055, groups: [78], capabilities: 0n };

/** One device node in memory; changing real owners takes root. */
function nodeEffects(
  tree: HostTree,
  acl = '',
): { effects: HostEffects; node: HostStat; log: string[] } {
  const node = {
    kind: 'character' as const,
    uid: 0,
    gid: 0,
    mode: 0o600,
    rdev: { major: 243, minor: 0 },
    inode: 41n,
  };
  const log: string[] = [];
  const effects: HostEffects = Object.create(tree.effects) as HostEffects;
  effects.stat = async (path) => {
    if (path !== NODE) throw new HostIoError('ENOENT', 'stat', path);
    return { ...node };
  };
  effects.readAcl = async () => parseAccessList(acl);
  effects.chown = async (path, uid, gid) => {
    log.push(`chown ${path} ${uid}:${gid}`);
    Object.assign(node, { uid, gid });
  };
  effects.chmod = async (path, mode) => {
    log.push(`chmod ${path} ${mode.toString(8)}`);
    Object.assign(node, { mode });
  };
  return { effects, node, log };
}

describe('canReadWrite', () => {
  const stat = (uid: number, gid: number, mode: number): HostStat => ({
    kind: 'character',
    uid,
    gid,
    mode,
    rdev: undefined,
    inode: 1n,
  });

  it.each([
    ['the owner', stat(64055, 0, 0o600), true],
    ['a stranger', stat(0, 0, 0o600), false],
    ['a supplementary group', stat(0, 78, 0o660), true],
    ['a group that may only read', stat(0, 78, 0o640), false],
    ['everyone', stat(0, 0, 0o666), true],
    ['an owner shut out although others are not', stat(64055, 0, 0o066), false],
  ])('judges %s', (_, node, expected) => {
    expect(canReadWrite(QEMU, node)).toBe(expected);
  });

  it('lets CAP_DAC_OVERRIDE pass', () => {
    expect(canReadWrite({ ...QEMU, capabilities: 0b10n }, stat(0, 0, 0))).toBe(true);
  });
});

describe('grantAccess and restoreAccess', () => {
  it('make QEMU the owner, and give back exactly what was', async () => {
    using tree = new HostTree();
    const { effects, node, log } = nodeEffects(tree);
    const text = JSON.stringify(await recordAccess(effects, NODE));
    expect(await grantAccess(effects, NODE, QEMU)).toBe('granted');
    expect(node).toMatchObject({ uid: 64055, gid: 64055, mode: 0o600 });
    expect(await grantAccess(effects, NODE, QEMU)).toBe('already');
    const record = JSON.parse(text) as AccessRecord;
    expect(await restoreAccess(effects, record)).toBe('restored');
    expect(node).toMatchObject({ uid: 0, gid: 0, mode: 0o600 });
    expect(await restoreAccess(effects, record)).toBe('already');
    expect(log).toEqual([`chown ${NODE} 64055:64055`, `chown ${NODE} 0:0`]);
  });

  it('leave a node alone that was made anew under the same name', async () => {
    using tree = new HostTree();
    const { effects, node, log } = nodeEffects(tree);
    const record = await recordAccess(effects, NODE);
    Object.assign(node, { inode: 42n, uid: 1000 });
    expect(await restoreAccess(effects, record)).toBe('gone');
    expect(await restoreAccess(effects, { ...record, node: '/dev/vfio/8' })).toBe('gone');
    expect(log).toEqual([]);
  });

  it('change nothing for a QEMU that an access control list lets in', async () => {
    using tree = new HostTree();
    const { effects, node, log } = nodeEffects(tree, LIST);
    Object.assign(node, { mode: 0o660 });
    expect(await grantAccess(effects, NODE, QEMU)).toBe('already');
    expect(log).toEqual([]);
  });

  it('make it the owner where the group of the mode is a mask that hides a closed group', async () => {
    using tree = new HostTree();
    const { effects, node } = nodeEffects(tree, LIST.replace('64055', '1'));
    Object.assign(node, { mode: 0o660, gid: 78 });
    expect(await grantAccess(effects, NODE, QEMU)).toBe('granted');
    expect(node).toMatchObject({ uid: 64055, mode: 0o660 });
  });

  it('change nothing for a QEMU that runs as root', async () => {
    using tree = new HostTree();
    const { effects, log } = nodeEffects(tree);
    expect(await grantAccess(effects, NODE, { ...QEMU, uid: 0 })).toBe('already');
    expect(log).toEqual([]);
  });

  it('say so where the change has no effect, and where there is no node', async () => {
    using tree = new HostTree();
    const { effects } = nodeEffects(tree);
    effects.chown = async () => undefined;
    await expect(grantAccess(effects, NODE, QEMU)).rejects.toMatchObject({ code: 'HOST_IO' });
    await expect(recordAccess(effects, '/dev/vfio/9')).rejects.toMatchObject({
      code: 'HOST_UNREADABLE',
      details: { errno: 'ENOENT' },
    });
  });
});

describe('readCredentials', () => {
  const status =
    'Name:\tqemu\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t78 36 \nCapEff:\t0000000000004002\n';

  it('takes the file system ids', async () => {
    using tree = new HostTree();
    tree.addProcess(812, { status });
    const expected = { uid: 4, gid: 8, groups: [78, 36], capabilities: 0x4002n };
    expect(await readCredentials(tree.effects, 812)).toEqual(expected);
  });

  it('counts no capability of a user namespace', async () => {
    using tree = new HostTree();
    tree.addProcess(812, { status });
    tree.link('/proc/812/ns/user', 'user:[4026532999]');
    expect(await readCredentials(tree.effects, 812)).toMatchObject({ capabilities: 0n });
  });

  it('fails for a process that is not there or cannot be understood', async () => {
    using tree = new HostTree();
    await expect(readCredentials(tree.effects, 812)).rejects.toMatchObject({ code: 'VM_GONE' });
    tree.addProcess(812, { status: 'Name:\tx\n' });
    await expect(readCredentials(tree.effects, 812)).rejects.toMatchObject({
      code: 'HOST_UNREADABLE',
    });
    expect(parseCredentials('')).toBeUndefined();
  });

  it('reads this very process', async () => {
    const own = await readCredentials(createHostEffects(), process.pid);
    expect(own.uid).toBe(process.getuid?.());
  });
});

describe("VFIO's container node", () => {
  const withMode = (mode: number): HostEffects => {
    const effects: HostEffects = Object.create({}) as HostEffects;
    effects.stat = async () => ({
      kind: 'character',
      uid: 0,
      gid: 0,
      mode,
      rdev: undefined,
      inode: 1n,
    });
    return effects;
  };

  it('is open to everyone as the kernel makes it', async () => {
    await requireContainer(withMode(0o666), QEMU);
  });

  it('is for the operator to open where it is not', async () => {
    await expect(requireContainer(withMode(0o600), QEMU)).rejects.toMatchObject({
      code: 'DENIED',
      remedy: expect.stringContaining('chmod 666 /dev/vfio/vfio') as string,
    });
    await requireContainer(withMode(0o600), { ...QEMU, capabilities: 1n << 1n });
  });

  it('need not be there before the module is loaded', async () => {
    using tree = new HostTree();
    await requireContainer(tree.effects, QEMU);
  });
});
