import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { identifyVm, vmKeyOf, type VmIdentity } from '../../src/vm/index.js';
import { HostIoError, type HostEffects } from '../../src/host/effects.js';
import { BOOT_ID, HostTree } from '../host/sysfs-tree.js';

const HEADER = 'Num       RefCount Protocol Flags    Type St Inode Path\n';
const listening = (inode: number, path: string) =>
  `0000000000000000: 00000002 00000000 00010000 0001 01 ${inode} ${path}\n`;

/** A host on which QEMU 812 listens at /run/vm.sock. */
function hostWithVm(command = 'qemu-system-x86'): HostTree {
  const tree = new HostTree();
  tree.file('/proc/net/unix', HEADER + listening(11, '/run/vm.sock'));
  tree.addProcess(812, { command, files: ['socket:[11]'] });
  tree.addProcess(900, { command: 'qemu-kvm', startTime: 77 });
  tree.addProcess(901, { command: 'sleep' });
  return tree;
}

describe('identifyVm', () => {
  it('finds the QEMU that listens on the socket, however its address is written', async () => {
    using tree = hostWithVm();
    const identity = await identifyVm('/run/vm.sock', tree.effects);
    expect(identity).toMatchObject({ kind: 'process', bootId: BOOT_ID, pid: 812 });
    expect(await identifyVm('unix:/run/vm.sock', tree.effects)).toEqual(identity);
  });

  it('knows a QEMU under another name by its program', async () => {
    using tree = hostWithVm('guest-17');
    tree.link('/proc/812/exe', '/usr/libexec/qemu-kvm');
    expect(await identifyVm('/run/vm.sock', tree.effects)).toMatchObject({ pid: 812 });
  });

  it('takes a proxy for no VM', async () => {
    using tree = hostWithVm('socat');
    tree.link('/proc/812/exe', '/usr/bin/socat');
    expect(await identifyVm('/run/vm.sock', tree.effects)).toEqual({
      kind: 'address',
      address: 'unix:/run/vm.sock',
      reason: 'process 812 (socat) listens there, and is no QEMU',
    });
  });

  it('proves nothing where several processes listen', async () => {
    using tree = hostWithVm();
    tree.addProcess(813, { command: 'qemu-system-x86', files: ['socket:[11]'] });
    expect(await identifyVm('/run/vm.sock', tree.effects)).toMatchObject({
      kind: 'address',
      reason: 'processes 812, 813 all listen there',
    });
  });

  it.each(['tcp:host:4444', 'exec:ssh host socat', 'ws://host/'])(
    'proves nothing of %s',
    async (address) => {
      using tree = hostWithVm();
      expect(await identifyVm(address, tree.effects)).toMatchObject({
        kind: 'address',
        reason: expect.stringContaining('not a unix socket') as string,
      });
    },
  );

  describe('where a look fails', () => {
    /** The tree, but for one path that answers an errno. */
    const failing = (tree: HostTree, path: string, errno: string): HostEffects => {
      const refuse = (asked: string) => {
        if (asked === path) throw new HostIoError(errno, 'read', path);
      };
      const effects = Object.create(tree.effects) as HostEffects;
      effects.read = async (asked, options) => {
        refuse(asked);
        return tree.effects.read(asked, options);
      };
      effects.list = async (asked) => {
        refuse(asked);
        return tree.effects.list(asked);
      };
      effects.readlink = async (asked) => {
        refuse(asked);
        return tree.effects.readlink(asked);
      };
      return effects;
    };
    const PLACES = [
      '/run',
      '/proc',
      '/proc/net/unix',
      '/proc/self/ns/net',
      '/proc/812/ns/net',
      '/proc/812/fd',
      '/proc/812/fd/0',
      '/proc/812/stat',
      '/proc/sys/kernel/random/boot_id',
    ];

    it.each(PLACES)('never takes a VM for its address because of %s', async (path) => {
      using tree = hostWithVm();
      const proven = await identifyVm('/run/vm.sock', tree.effects);
      for (const errno of ['EIO', 'EMFILE', 'ETIMEDOUT']) {
        const identified = await identifyVm('/run/vm.sock', failing(tree, path, errno)).catch(
          (error: unknown) => error,
        );
        if (identified instanceof Error) {
          expect(identified).toMatchObject({
            code: 'HOST_UNREADABLE',
            message: expect.stringContaining(`unix:/run/vm.sock`) as string,
            remedy: expect.stringContaining('--qemu-pid') as string,
          });
        } else {
          expect(identified).toEqual(proven);
        }
      }
    });

    it('says so of a program that cannot be read', async () => {
      using tree = hostWithVm('guest-17');
      tree.link('/proc/812/exe', '/usr/libexec/qemu-kvm');
      const identified = identifyVm('/run/vm.sock', failing(tree, '/proc/812/exe', 'EIO'));
      await expect(identified).rejects.toMatchObject({ code: 'HOST_UNREADABLE' });
    });

    it('goes by the address where it may not look, now and always', async () => {
      using tree = hostWithVm();
      expect(await identifyVm('/run/vm.sock', failing(tree, '/proc/812/fd', 'EACCES'))).toEqual({
        kind: 'address',
        address: 'unix:/run/vm.sock',
        reason: 'the open files of process 812 cannot be read',
      });
    });

    it('goes by the process that the operator names', async () => {
      using tree = hostWithVm();
      const effects = failing(tree, '/proc/net/unix', 'EIO');
      expect(await identifyVm('/run/vm.sock', effects, { qemuPid: 812 })).toMatchObject({
        kind: 'process',
        pid: 812,
      });
    });
  });

  it('believes --qemu-pid where nothing else is proven', async () => {
    using tree = hostWithVm();
    expect(await identifyVm('tcp:localhost:4444', tree.effects, { qemuPid: 900 })).toMatchObject({
      kind: 'process',
      pid: 900,
      startTime: '77',
    });
    expect(await identifyVm('/run/vm.sock', tree.effects, { qemuPid: 812 })).toMatchObject({
      pid: 812,
    });
  });

  it.each([
    ['/run/vm.sock', 900, 'BAD_ARGUMENT', /belongs to process 812/],
    ['tcp:localhost:4444', 901, 'BAD_ARGUMENT', /901 \(sleep\) is no QEMU/],
    ['tcp:localhost:4444', 4711, 'VM_GONE', /no process 4711/],
  ])('checks --qemu-pid: %s and %i', async (address, qemuPid, code, message) => {
    using tree = hostWithVm();
    const identified = identifyVm(address, tree.effects, { qemuPid });
    await expect(identified).rejects.toThrow(message);
    await expect(identified).rejects.toMatchObject({ code });
  });
});

describe('vmKeyOf', () => {
  const anyIdentity: fc.Arbitrary<VmIdentity> = fc.oneof(
    fc.record({
      kind: fc.constant('process' as const),
      bootId: fc.oneof(fc.uuid(), fc.string()),
      pid: fc.nat(),
      startTime: fc.nat().map(String),
      pidNamespace: fc.constant(undefined),
    }),
    fc.record({ kind: fc.constant('address' as const), address: fc.string() }),
  );

  it('is safe in a file name', () => {
    fc.assert(
      fc.property(anyIdentity, (identity) => {
        expect(vmKeyOf(identity)).toMatch(/^[a-z0-9-]{1,80}$/);
      }),
    );
  });

  it('is equal exactly for one VM', () => {
    fc.assert(
      fc.property(anyIdentity, anyIdentity, (a, b) => {
        const same = JSON.stringify(a) === JSON.stringify(b);
        expect(vmKeyOf(a) === vmKeyOf(b)).toBe(same);
      }),
    );
  });

  it('does not depend on why no process is proven', () => {
    const address = 'tcp:host:1';
    expect(vmKeyOf({ kind: 'address', address, reason: 'x' })).toBe(
      vmKeyOf({ kind: 'address', address }),
    );
  });
});
