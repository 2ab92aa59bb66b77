import { describe, expect, it } from 'vitest';
import { HostIoError, type HostEffects } from '../../src/host/effects.js';
import { isHeldBy, readGroupHolders, readHolders } from '../../src/host/holders.js';
import { known } from '../../src/known.js';
import { HostTree } from './sysfs-tree.js';

/** What an ordinary user gets for the processes of others. */
function withHidden(tree: HostTree, pid: number): HostEffects {
  const effects: HostEffects = Object.create(tree.effects) as HostEffects;
  effects.list = async (path) => {
    if (path === `/proc/${pid}/fd`) throw new HostIoError('EACCES', 'list', path);
    return tree.effects.list(path);
  };
  return effects;
}

describe('readHolders', () => {
  it('names the process that has a node open', async () => {
    using tree = new HostTree();
    tree.addProcess(812, { command: 'qemu-kvm', files: ['/dev/vfio/7', 'socket:[99]'] });
    tree.addProcess(813, { command: 'bash', files: ['/dev/vfio/vfio', '/dev/vfio/70'] });
    const holders = await readHolders(tree.effects, ['/dev/vfio/7', '/dev/vfio/8']);
    expect(holders.get('/dev/vfio/7')).toEqual(
      known([{ pid: 812, command: 'qemu-kvm', node: '/dev/vfio/7' }]),
    );
    expect(holders.get('/dev/vfio/8')).toEqual(known([]));
  });

  it.each(['/run/vm1/dev/vfio/7', '/vfio/7', '/dev/vfio/7 (deleted)'])(
    'recognises the node as %s, seen from another mount namespace or after its removal',
    async (target) => {
      using tree = new HostTree();
      tree.addProcess(812, { files: [target] });
      expect(await readGroupHolders(tree.effects, 7)).toMatchObject(known([{ pid: 812 }]));
    },
  );

  it('never takes unseen for free, but a found holder is one', async () => {
    using tree = new HostTree();
    tree.addProcess(500);
    tree.addProcess(812, { files: ['/dev/vfio/7'] });
    const effects = withHidden(tree, 500);
    expect(await readGroupHolders(effects, 7)).toMatchObject({ known: true });
    expect(await readGroupHolders(effects, 8)).toEqual({
      known: false,
      reason: 'the open files of process 500 cannot be read',
    });
  });

  it('does not know who holds it from within a PID namespace', async () => {
    using tree = new HostTree();
    tree.link('/proc/self/ns/pid', 'pid:[4026532281]');
    expect(await readGroupHolders(tree.effects, 7)).toMatchObject({ known: false });
  });

  it('finds the holder of a cdev too', async () => {
    using tree = new HostTree();
    tree.addProcess(812, { files: ['/dev/vfio/devices/vfio3'] });
    const holders = await readGroupHolders(tree.effects, 7, { cdevs: ['vfio3'] });
    expect(holders).toMatchObject(known([{ pid: 812, node: '/dev/vfio/devices/vfio3' }]));
  });
});

describe('isHeldBy', () => {
  it('asks one process only', async () => {
    using tree = new HostTree();
    tree.addProcess(500);
    tree.addProcess(812, { files: ['/dev/vfio/7'] });
    const effects = withHidden(tree, 500);
    expect(await isHeldBy(effects, 812, '/dev/vfio/7')).toEqual(known(true));
    expect(await isHeldBy(effects, 812, '/dev/vfio/8')).toEqual(known(false));
    expect(await isHeldBy(effects, 999, '/dev/vfio/7')).toEqual(known(false));
    expect(await isHeldBy(effects, 500, '/dev/vfio/7')).toMatchObject({ known: false });
  });
});
