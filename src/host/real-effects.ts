import type { AccessList, VfChange, VfSettings } from './effects.js';
import { readlinkSync, type StatsBase } from 'node:fs';
import { chmod, lchown, lstat, open, readdir, readFile, readlink } from 'node:fs/promises';
import { parseAccessList } from './access-list.js';
import { deviceNamedIn } from './device-name.js';
import { formatMemlock, parseMemlock } from './memlock-text.js';
import {
  HostIoError,
  type DeadlineOption,
  type HostEffects,
  type HostStat,
  type MemlockLimit,
  type OpenNode,
} from './effects.js';
import { runHostTool } from './host-tool.js';
import { IoChildren } from './io-child.js';
import { KERNEL_LOG } from './kernel-log.js';
import { readPresent } from './read-present.js';
import { parseVfSettings, vfArguments } from './vf-settings.js';
import { hasAlternativeRoots, toRealPath, type HostRoots } from './roots.js';

export interface HostEffectsOptions {
  readonly roots?: HostRoots | undefined;
  /**
   * Lets writes through to alternative roots. A fixture tree has no kernel behind it, so that a
   * write there would look like a success; by default it fails with `EROFS`.
   */
  readonly allowWrites?: boolean | undefined;
  /** The node program that runs the disposable children; by default the one that runs us. */
  readonly nodePath?: string | undefined;
}

const READ_DEADLINE_MS = 5_000;
const WRITE_DEADLINE_MS = 10_000;
/** A module's init function probes devices and may take long. */
const TOOL_DEADLINE_MS = 30_000;

/**
 * Attributes whose reading can block behind the device lock or wake the device: Linux
 * drivers/pci/pci-sysfs.c and iov.c. `driver_override` takes the lock in 6.1 and no longer in 6.12,
 * `sriov_numvfs` takes it in both. They are read in a child like writes, because a deadline
 * alone would leave a thread of ours behind.
 */
const BLOCKING_ATTRIBUTE =
  /\/(driver_override|sriov_numvfs|config|vpd|rom|resource\d_resize|current_link_\w+)$/;

const PROC = '/proc/';

/**
 * The kernel answers from memory, and a search for who has a file open asks for tens of thousands: a thread's round
 * trip would cost several times as much as the answer.
 */
async function readProcLink(path: string): Promise<string> {
  return readlinkSync(path);
}

/** Effects on this machine, or reads from trees that stand in for it. */
export function createHostEffects(options: HostEffectsOptions = {}): HostEffects {
  return new RealHostEffects(options);
}

class RealHostEffects implements HostEffects {
  private readonly roots: HostRoots;
  private readonly readOnly: boolean;
  private readonly children: IoChildren;

  constructor(options: HostEffectsOptions) {
    this.roots = options.roots ?? {};
    this.readOnly = hasAlternativeRoots(this.roots) && options.allowWrites !== true;
    this.children = new IoChildren(options.nodePath ?? process.execPath);
  }

  async read(path: string, options: DeadlineOption = {}): Promise<string> {
    const real = toRealPath(path, this.roots, 'read');
    const deadlineMs = options.deadlineMs ?? READ_DEADLINE_MS;
    if (path === KERNEL_LOG) {
      return this.attempt('read', path, readPresent(real, deadlineMs), deadlineMs);
    }
    if (!BLOCKING_ATTRIBUTE.test(path)) {
      return this.attempt('read', path, readFile(real, 'utf8'), deadlineMs);
    }
    const bytes = await this.children.run(
      { op: 'read', path: real },
      { subject: subjectOf(path), reportedPath: path, deadlineMs },
    );
    return Buffer.from(bytes).toString('utf8');
  }

  async readBytes(path: string, length: number): Promise<Uint8Array> {
    const real = toRealPath(path, this.roots, 'read');
    if (BLOCKING_ATTRIBUTE.test(path)) {
      return this.children.run(
        { op: 'read', path: real, length },
        { subject: subjectOf(path), reportedPath: path, deadlineMs: READ_DEADLINE_MS },
      );
    }
    return this.attempt('read', path, readFirst(real, length), READ_DEADLINE_MS);
  }

  async list(path: string): Promise<readonly string[]> {
    return this.attempt('list', path, readdir(toRealPath(path, this.roots, 'list')));
  }

  async readlink(path: string): Promise<string> {
    const real = toRealPath(path, this.roots, 'readlink');
    return this.attempt(
      'readlink',
      path,
      path.startsWith(PROC) ? readProcLink(real) : readlink(real),
    );
  }

  async stat(path: string): Promise<HostStat> {
    const real = toRealPath(path, this.roots, 'stat');
    const stat = await this.attempt('stat', path, lstat(real, { bigint: true }));
    const isNode = stat.isCharacterDevice() || stat.isBlockDevice();
    return {
      kind: kindOf(stat),
      uid: Number(stat.uid),
      gid: Number(stat.gid),
      mode: Number(stat.mode & 0o7777n),
      rdev: isNode ? splitDeviceNumber(stat.rdev) : undefined,
      inode: stat.ino,
    };
  }

  async write(path: string, data: string, options: DeadlineOption = {}): Promise<void> {
    this.refuseOnFixture('write', path);
    // write(2) of nothing never reaches the attribute, although it succeeds.
    if (data === '') throw new HostIoError('EINVAL', 'write', path);
    await this.children.run(
      { op: 'write', path: toRealPath(path, this.roots, 'write'), data },
      {
        subject: subjectOf(path, data),
        reportedPath: path,
        deadlineMs: options.deadlineMs ?? WRITE_DEADLINE_MS,
      },
    );
  }

  async open(path: string): Promise<OpenNode> {
    this.refuseOnFixture('open', path);
    return this.attempt('open', path, open(toRealPath(path, this.roots, 'open'), 'r+'));
  }

  async chown(path: string, uid: number, gid: number): Promise<void> {
    this.refuseOnFixture('chown', path);
    await this.attempt('chown', path, lchown(toRealPath(path, this.roots, 'chown'), uid, gid));
  }

  async chmod(path: string, mode: number): Promise<void> {
    this.refuseOnFixture('chmod', path);
    await this.attempt('chmod', path, chmod(toRealPath(path, this.roots, 'chmod'), mode));
  }

  async readAcl(path: string): Promise<AccessList | undefined> {
    const real = toRealPath(path, this.roots, 'getfacl');
    const args = ['--skip-base', '--numeric', '--absolute-names', '--omit-header', '--', real];
    return parseAccessList(await runHostTool('getfacl', args, { deadlineMs: TOOL_DEADLINE_MS }));
  }

  async loadModule(name: string): Promise<void> {
    if (!/^[A-Za-z0-9][A-Za-z0-9_-]*$/.test(name)) {
      throw new HostIoError('EINVAL', 'load module', name);
    }
    const loaded = await this.exists(`/sys/module/${name.replaceAll('-', '_')}`);
    if (loaded) return;
    // modprobe works on the real kernel, whatever tree stands in for its files.
    this.refuseBesideRealHost('load module', name);
    const program = await this.modprobePath();
    await runHostTool(program, ['--', name], { deadlineMs: TOOL_DEADLINE_MS });
  }

  async readMemlock(pid: number): Promise<MemlockLimit> {
    const path = `/proc/${pid}/limits`;
    const limit = parseMemlock(await this.read(path));
    if (limit === undefined) throw new HostIoError('EINVAL', 'read', path);
    return limit;
  }

  async setMemlock(pid: number, limit: MemlockLimit): Promise<void> {
    this.refuseBesideRealHost('set memlock', `/proc/${pid}`);
    const args = ['--pid', String(pid), `--memlock=${formatMemlock(limit)}`];
    await runHostTool('prlimit', args, { deadlineMs: TOOL_DEADLINE_MS });
  }

  async readVfs(netdev: string): Promise<readonly VfSettings[]> {
    this.refuseBesideRealHost('read VFs', netdev);
    const args = ['-json', 'link', 'show', 'dev', plainInterface(netdev)];
    return parseVfSettings(await runHostTool('ip', args, { deadlineMs: TOOL_DEADLINE_MS }));
  }

  async setVf(netdev: string, index: number, change: VfChange): Promise<void> {
    this.refuseBesideRealHost('set VF', netdev);
    const args = ['link', 'set', 'dev', plainInterface(netdev), ...vfArguments(index, change)];
    await runHostTool('ip', args, { deadlineMs: TOOL_DEADLINE_MS });
  }

  /** The program the kernel itself would run; it is not on everybody's PATH. */
  private async modprobePath(): Promise<string> {
    try {
      const path = (await this.read('/proc/sys/kernel/modprobe')).trim();
      return path === '' ? 'modprobe' : path;
    } catch {
      return 'modprobe';
    }
  }

  private async exists(path: string): Promise<boolean> {
    try {
      await this.stat(path);
      return true;
    } catch {
      return false;
    }
  }

  private refuseOnFixture(operation: string, path: string): void {
    if (this.readOnly) throw new HostIoError('EROFS', operation, path);
  }

  private refuseBesideRealHost(operation: string, path: string): void {
    if (hasAlternativeRoots(this.roots)) throw new HostIoError('EROFS', operation, path);
  }

  private async attempt<T>(
    operation: string,
    path: string,
    work: Promise<T>,
    deadlineMs = READ_DEADLINE_MS,
  ): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new HostIoError('ETIMEDOUT', operation, path, { stuck: true }));
      }, deadlineMs);
    });
    try {
      return await Promise.race([work, deadline]);
    } catch (error) {
      if (error instanceof HostIoError) throw error;
      throw new HostIoError(errnoOf(error), operation, path, { cause: error });
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Linux net/core/dev.c, dev_valid_name; what begins with a dash would be an option. */
function plainInterface(name: string): string {
  if (/^(?!-)(?!\.{1,2}$)[^/:\s]{1,15}$/.test(name)) return name;
  throw new HostIoError('EINVAL', 'find interface', name);
}

/** What an operation is about, so that nothing is queued behind a stuck one. */
function subjectOf(path: string, data?: string): string {
  return deviceNamedIn(path, data) ?? path;
}

async function readFirst(path: string, length: number): Promise<Uint8Array> {
  const file = await open(path);
  try {
    const buffer = Buffer.alloc(length);
    const { bytesRead } = await file.read(buffer, 0, length, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

function errnoOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : 'EIO';
}

function kindOf(stat: StatsBase<bigint>): HostStat['kind'] {
  if (stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'directory';
  if (stat.isSymbolicLink()) return 'link';
  if (stat.isCharacterDevice()) return 'character';
  if (stat.isBlockDevice()) return 'block';
  return 'other';
}

/** Linux's encoding of a device number: glibc sysdeps/unix/sysv/linux/makedev. */
function splitDeviceNumber(rdev: bigint): { major: number; minor: number } {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n);
  return { major: Number(major), minor: Number(minor) };
}
