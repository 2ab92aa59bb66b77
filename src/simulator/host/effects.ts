import {
  HostIoError,
  type HostEffects,
  type HostStat,
  type MemlockLimit,
} from '../../host/effects.js';
import type { Faults } from '../faults.js';
import type { Random } from '../random.js';
import { devfs } from './devfs.js';
import { KernelError } from './errno.js';
import type { Kernel } from './kernel.js';
import {
  directory,
  fixedTree,
  merge,
  resolve,
  type DirectoryNode,
  type Node,
} from './node-tree.js';
import { procfs, type UnixSocket } from './procfs.js';
import { sysfs } from './sysfs.js';

export interface EffectsOptions {
  readonly kernel: Kernel;
  readonly faults: Faults;
  /** What `/proc/self` is. */
  readonly pid: number;
  readonly sockets: () => readonly UnixSocket[];
  /** Longest time an operation takes, in ms of virtual time; drawn from `random`. Default 0. */
  readonly latencyMs?: number | undefined;
  readonly random: Random;
}

const READ_DEADLINE_MS = 5_000;
const WRITE_DEADLINE_MS = 10_000;
/** A sysfs store gets at most one page. */
const BDF_IN_PATH = /\/devices\/(?:[^/]+\/)*([0-9a-f]{4,}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7])(?:\/|$)/;

/** The host of the simulated kernel, through the same door as the real one. */
export function simulatedEffects(options: EffectsOptions): HostEffects {
  const { kernel, faults, pid, random } = options;
  const root = hostTree(kernel, options.sockets, pid);
  const process = String(pid);

  const pause = async () => {
    const limit = options.latencyMs ?? 0;
    if (limit === 0) return;
    await new Promise<void>((done) => {
      kernel.clock.after(random.next() * limit, done);
    });
  };

  /** Runs one system call and gives up waiting at the deadline; the call itself goes on. */
  const call = async <T>(
    operation: string,
    path: string,
    deadlineMs: number,
    task: () => T | Promise<T>,
  ): Promise<T> => {
    await pause();
    const work = (async () => task())();
    return new Promise<T>((resolveCall, reject) => {
      const cancel = kernel.clock.after(deadlineMs, () => {
        reject(new HostIoError('ETIMEDOUT', operation, path, { stuck: true }));
      });
      work.then(
        (value) => {
          cancel();
          resolveCall(value);
        },
        (error: unknown) => {
          cancel();
          const failure =
            error instanceof KernelError
              ? new HostIoError(error.errno, operation, path, { cause: error })
              : error;
          // Whatever is not a system call's failure is a defect of the simulator and stays as it is.
          // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
          reject(failure);
        },
      );
    });
  };

  const look = <T>(operation: string, path: string, task: () => T | Promise<T>) =>
    call(operation, path, READ_DEADLINE_MS, () => {
      const fault = faults.draw('read', { path, process, operation });
      if (fault) throw new KernelError(fault.errno);
      return task();
    });

  const readFile = async (path: string): Promise<string | Uint8Array> => {
    const node = resolve(root, path, true);
    if (node.kind === 'directory') throw new KernelError('EISDIR');
    if (node.kind !== 'file' || node.read === undefined) throw new KernelError('EACCES');
    return node.read();
  };

  const ownerOf = (path: string) => {
    const node = resolve(root, path, true);
    if (node.kind !== 'special') throw new KernelError('EPERM');
    return node.owner;
  };

  return {
    read: (path, deadline) =>
      call('read', path, deadline?.deadlineMs ?? READ_DEADLINE_MS, async () => {
        const fault = faults.draw('read', { path, process, operation: 'read' });
        if (fault) throw new KernelError(fault.errno);
        const content = await readFile(path);
        return typeof content === 'string' ? content : Buffer.from(content).toString('utf8');
      }),
    readBytes: (path, length) =>
      look('read', path, async () => {
        const content = await readFile(path);
        const bytes = typeof content === 'string' ? Buffer.from(content) : content;
        return Uint8Array.from(bytes.subarray(0, length));
      }),
    list: (path) =>
      look('list', path, () => {
        const node = resolve(root, path, true);
        if (node.kind !== 'directory') throw new KernelError('ENOTDIR');
        return [...node.names()];
      }),
    readlink: (path) =>
      look('readlink', path, () => {
        const node = resolve(root, path, false);
        if (node.kind !== 'link') throw new KernelError('EINVAL');
        return node.target;
      }),
    stat: (path) => look('stat', path, () => statOf(resolve(root, path, false))),
    write: (path, data, deadline) =>
      call('write', path, deadline?.deadlineMs ?? WRITE_DEADLINE_MS, async () => {
        const fault = faults.draw('write', { path, process, operation: 'write' });
        if (fault?.name === 'write-fails') throw new KernelError(fault.errno);
        if (fault?.name === 'write-hangs') await new Promise(() => undefined);
        if (fault?.name === 'device-vanishes') {
          const named = BDF_IN_PATH.exec(path)?.[1] ?? data.trim();
          kernel.vanish(named);
        }
        const node = resolve(root, path, true);
        if (node.kind !== 'file' || node.write === undefined) throw new KernelError('EACCES');
        // write(2) of no bytes calls nothing in sysfs.
        if (data.length > 0) await node.write(data);
      }),
    open: (path) =>
      call('open', path, READ_DEADLINE_MS, () => {
        const node = resolve(root, path, true);
        if (node.kind !== 'special') throw new KernelError('EINVAL');
        return kernel.nodes.open(pid, path);
      }),
    chown: (path, uid, gid) =>
      call('chown', path, WRITE_DEADLINE_MS, () => {
        Object.assign(ownerOf(path), { uid, gid });
      }),
    chmod: (path, mode) =>
      call('chmod', path, WRITE_DEADLINE_MS, () => {
        ownerOf(path).mode = mode & 0o7777;
      }),
    // Whoever has no other list than the mode.
    readAcl: () => Promise.resolve(undefined),
    loadModule: (name) =>
      call('load', name, WRITE_DEADLINE_MS, () => {
        kernel.driverCore.loadModule(name);
      }),
    readMemlock: (target) =>
      look(
        'read',
        `/proc/${target}/limits`,
        (): MemlockLimit => kernel.processes.require(target).memlock,
      ),
    readVfs: (netdev) =>
      look('read', `/sys/class/net/${netdev}/vfs`, () => [
        ...kernel.virtualFunctions.settingsOf(netdev),
      ]),
    setVf: (netdev, index, change) =>
      call('set', `/sys/class/net/${netdev}/vf${index}`, WRITE_DEADLINE_MS, () => {
        kernel.virtualFunctions.set(netdev, index, change);
      }),
    setMemlock: (target, limit) =>
      call('prlimit', `/proc/${target}/limits`, WRITE_DEADLINE_MS, () => {
        kernel.setMemlock(target, limit);
      }),
  };
}

function hostTree(
  kernel: Kernel,
  sockets: () => readonly UnixSocket[],
  pid: number,
): DirectoryNode {
  return merge([
    fixedTree(kernel.config.files ?? {}),
    directory({
      sys: () => sysfs(kernel),
      proc: () => procfs(kernel, sockets, pid),
      dev: () => devfs(kernel),
    }),
    socketTree(sockets),
  ]);
}

/** Unix sockets have a place in the file system too. */
function socketTree(sockets: () => readonly UnixSocket[], below = ''): DirectoryNode {
  const inside = (folder: string) =>
    sockets().filter(({ path, listening }) => listening && path.startsWith(`${folder}/`));
  return {
    kind: 'directory',
    names: () =>
      new Set(inside(below).map(({ path }) => path.slice(below.length + 1).split('/')[0] ?? '')),
    get(name) {
      const at = `${below}/${name}`;
      const found = sockets().find(({ path, listening }) => listening && path === at);
      if (found === undefined) return inside(at).length > 0 ? socketTree(sockets, at) : undefined;
      const owner = { uid: 0, gid: 0, mode: 0o755 };
      return {
        kind: 'special',
        what: 'socket',
        rdev: undefined,
        inode: BigInt(found.inode),
        owner,
      };
    },
  };
}

function statOf(node: Node): HostStat {
  const plain = { uid: 0, gid: 0, rdev: undefined, inode: 1n };
  switch (node.kind) {
    case 'directory':
      return { ...plain, kind: 'directory', mode: 0o755 };
    case 'link':
      return { ...plain, kind: 'link', mode: 0o777 };
    case 'file':
      return { ...plain, kind: 'file', mode: node.mode };
    case 'special': {
      const { uid, gid, mode } = node.owner;
      const kind = node.what === 'socket' ? 'other' : node.what;
      return { kind, uid, gid, mode, rdev: node.rdev, inode: node.inode };
    }
  }
}
