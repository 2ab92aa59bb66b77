import { once } from 'node:events';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { HostIoError, type HostEffects } from '../../src/host/effects.js';
import { createHostEffects } from '../../src/host/real-effects.js';
import { findSocketOwner, parseListeningSockets } from '../../src/host/sockets.js';
import { HostTree } from './sysfs-tree.js';

const HEADER = 'Num       RefCount Protocol Flags    Type St Inode Path\n';
const listening = (inode: number, path: string) =>
  `0000000000000000: 00000002 00000000 00010000 0001 01 ${inode} ${path}\n`;
const connected = (inode: number, path: string) =>
  `0000000000000000: 00000003 00000000 00000000 0001 03 ${inode} ${path}\n`;

describe('parseListeningSockets', () => {
  it('leaves connections and unnamed sockets out and keeps blanks in a path', () => {
    const text =
      HEADER +
      listening(11, '/run/my vm.sock') +
      connected(12, '/run/my vm.sock') +
      '0000000000000000: 00000002 00000000 00000000 0002 01 13\n';
    expect(parseListeningSockets(text)).toEqual([{ inode: '11', path: '/run/my vm.sock' }]);
  });
});

describe('findSocketOwner', () => {
  it('names the one process that listens', async () => {
    using tree = new HostTree();
    tree.file(
      '/proc/net/unix',
      HEADER + listening(11, '/run/vm.sock') + connected(12, '/run/vm.sock'),
    );
    tree.addProcess(812, { command: 'qemu-kvm', files: ['socket:[11]', 'socket:[12]'] });
    tree.addProcess(900, { files: ['socket:[13]'] });
    expect(await findSocketOwner(tree.effects, '/run/vm.sock')).toMatchObject({
      kind: 'one',
      process: { pid: 812, command: 'qemu-kvm', startTime: '1000' },
    });
  });

  it('proves nothing where several processes share the socket or the path', async () => {
    using tree = new HostTree();
    tree.file(
      '/proc/net/unix',
      HEADER + listening(11, '/run/vm.sock') + listening(12, '/run/vm.sock'),
    );
    tree.addProcess(812, { files: ['socket:[11]'] });
    tree.addProcess(813, { files: ['socket:[12]'] });
    expect(await findSocketOwner(tree.effects, '/run/vm.sock')).toMatchObject({
      kind: 'several',
      processes: [{ pid: 812 }, { pid: 813 }],
    });
  });

  it('resolves a path that was bound relative to its directory', async () => {
    using tree = new HostTree();
    tree.file('/proc/net/unix', HEADER + listening(11, 'vm.sock') + listening(12, './vm.sock'));
    tree.addProcess(812, { files: ['socket:[11]'], cwd: '/srv/vm1' });
    tree.addProcess(813, { files: ['socket:[12]'], cwd: '/srv/vm2' });
    const found = await findSocketOwner(tree.effects, '/srv/vm2/vm.sock');
    expect(found).toMatchObject({ kind: 'one', process: { pid: 813 } });
  });

  it('looks into other network namespaces', async () => {
    using tree = new HostTree();
    tree.file('/proc/net/unix', HEADER);
    tree.addProcess(812, { files: ['socket:[11]'], networkNamespace: 'net:[4026532999]' });
    tree.file('/proc/812/net/unix', HEADER + listening(11, '/run/vm.sock'));
    const found = await findSocketOwner(tree.effects, '/run/vm.sock');
    expect(found).toMatchObject({ kind: 'one', process: { pid: 812 } });
  });

  it('tells nobody from not allowed to see', async () => {
    using tree = new HostTree();
    tree.file('/proc/net/unix', HEADER + listening(11, '/run/vm.sock'));
    expect((await findSocketOwner(tree.effects, '/run/vm.sock')).kind).toBe('none');
    expect((await findSocketOwner(tree.effects, '/run/other.sock')).kind).toBe('none');
    tree.addProcess(812);
    const effects: HostEffects = Object.create(tree.effects) as HostEffects;
    effects.list = async (path) => {
      if (path === '/proc/812/fd') throw new HostIoError('EACCES', 'list', path);
      return tree.effects.list(path);
    };
    expect((await findSocketOwner(effects, '/run/vm.sock')).kind).toBe('unknown');
    tree.remove('/proc/net/unix');
    expect((await findSocketOwner(tree.effects, '/run/vm.sock')).kind).toBe('unknown');
  });

  it('finds this very process behind a real socket, by path, link and relative name', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'qmplug-socket-'));
    const absolute = createServer().listen(join(folder, 'a.sock'));
    const fromHere = createServer().listen(relative(process.cwd(), join(folder, 'r.sock')));
    try {
      await Promise.all([once(absolute, 'listening'), once(fromHere, 'listening')]);
      symlinkSync(folder, `${folder}-link`);
      const effects = createHostEffects();
      for (const path of [`${folder}/a.sock`, `${folder}-link/a.sock`, `${folder}/r.sock`]) {
        const found = await findSocketOwner(effects, path);
        expect(found).toMatchObject({ kind: 'one', process: { pid: process.pid } });
      }
    } finally {
      absolute.close();
      fromHere.close();
      rmSync(folder, { recursive: true, force: true });
      rmSync(`${folder}-link`, { force: true });
    }
  });
});
