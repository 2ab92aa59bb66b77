import { HostError } from '../errors.js';
import type { Known } from '../known.js';

/** What `stat` tells of a node (never following a final symbolic link). */
export interface HostStat {
  readonly kind: 'file' | 'directory' | 'link' | 'character' | 'block' | 'other';
  readonly uid: number;
  readonly gid: number;
  /** Permission bits, 0-0o7777. */
  readonly mode: number;
  /** Device number of a character or block node. */
  readonly rdev: { readonly major: number; readonly minor: number } | undefined;
  readonly inode: bigint;
}

/** An open device node of this process. Once it is closed `fd` reads -1. */
export interface OpenNode {
  readonly fd: number;
  close(): Promise<void>;
}

export interface DeadlineOption {
  /** Default 5,000 ms for reads and 10,000 ms for writes. */
  readonly deadlineMs?: number | undefined;
}

/**
 * The one door to the host. Paths are the canonical ones (`/sys/...`, `/proc/...`, `/dev/...`,
 * `/etc/...`, `/lib/modules/...`); an implementation may serve them from another root. Met by the
 * real host, by a fixture tree (reads only) and by the simulated kernel.
 *
 * Every method fails with a `HostIoError` that carries the errno name. An operation that does not
 * come back by its deadline fails with `STUCK` and is never retried by the implementation.
 */
export interface HostEffects {
  /**
   * The whole file as UTF-8 text; reads files whose stat size is wrong, as sysfs has them. Of /dev/kmsg, which has no
   * end, what is there now, or the last part of it.
   */
  read(path: string, options?: DeadlineOption): Promise<string>;
  /** The first `length` bytes (for PCI `config`); a short read is not an error. */
  readBytes(path: string, length: number): Promise<Uint8Array>;
  /** Names in a directory, in no particular order. */
  list(path: string): Promise<readonly string[]>;
  /** The target of a symbolic link, as written. */
  readlink(path: string): Promise<string>;
  stat(path: string): Promise<HostStat>;
  /**
   * One write(2) to an existing file, in a disposable child process where the write can block.
   * A write that returned proves nothing: the caller reads the resulting state.
   */
  write(path: string, data: string, options?: DeadlineOption): Promise<void>;
  /** Opens a device node for reading and writing: `/dev/iommu`, a vfio cdev. */
  open(path: string): Promise<OpenNode>;
  chown(path: string, uid: number, gid: number): Promise<void>;
  chmod(path: string, mode: number): Promise<void>;
  /**
   * The access control list of a node; undefined where it has none beyond its mode. Fails where no program of the
   * host can read it.
   */
  readAcl(path: string): Promise<AccessList | undefined>;
  /** Loads a kernel module by its name; done when it is already there. */
  loadModule(name: string): Promise<void>;
  /** Reads RLIMIT_MEMLOCK of a process from /proc; `undefined` is unlimited. Bytes. */
  readMemlock(pid: number): Promise<MemlockLimit>;
  /** Sets RLIMIT_MEMLOCK of a running process (prlimit(2); needs CAP_SYS_RESOURCE). */
  setMemlock(pid: number, limit: MemlockLimit): Promise<void>;
  /** The VFs of a PF, as the driver of its network interface tells of them. */
  readVfs(netdev: string): Promise<readonly VfSettings[]>;
  /** Changes a VF through the network interface of its PF (ip-link(8); needs CAP_NET_ADMIN). */
  setVf(netdev: string, index: number, change: VfChange): Promise<void>;
}

/** What an entry of an access control list permits. */
export interface Permissions {
  readonly read: boolean;
  readonly write: boolean;
}

/**
 * A POSIX access control list with more than the mode says (acl(5)). Owner, mask and others are the three parts of
 * the mode, so changing owner and mode back also brings the list back.
 */
export interface AccessList {
  readonly users: ReadonlyMap<number, Permissions>;
  /** What the owning group may; the group's part of the mode is the mask. */
  readonly group: Permissions;
  readonly groups: ReadonlyMap<number, Permissions>;
}

/** What a PF's network driver lets a VF do. Plain JSON; what the driver does not tell is null. */
export interface VfSettings {
  /** The VF's number at its PF. */
  readonly index: number;
  /** `52:54:00:12:34:56`; all zeros where the VF chooses. */
  readonly mac: string;
  /** 1-4094; 0 for none. */
  readonly vlan: number;
  readonly trust: boolean | null;
  readonly spoofCheck: boolean | null;
}

/** What of it is to be otherwise. */
export interface VfChange {
  readonly mac?: string | undefined;
  readonly vlan?: number | undefined;
  readonly trust?: boolean | undefined;
  readonly spoofCheck?: boolean | undefined;
}

/** Bytes; `undefined` means unlimited. */
export interface MemlockLimit {
  readonly soft: bigint | undefined;
  readonly hard: bigint | undefined;
}

/** A failed effect, with what the kernel said. */
export class HostIoError extends HostError {
  /** Name of the errno, for example `EBUSY`; `ETIMEDOUT` where the deadline passed. */
  readonly errno: string;
  /** What was tried: `read`, `write`, `load module` ... */
  readonly operation: string;
  readonly path: string;
  /** True when the operation may still be under way in a child that never came back. */
  readonly stuck: boolean;
  /** The child that carries the operation, where it was given to one and did not come back. */
  readonly childPid: number | undefined;
  /** What the kernel said last of what this is about; undefined where nobody looked. */
  readonly kernelLog: Known<readonly string[]> | undefined;

  constructor(
    errno: string,
    operation: string,
    path: string,
    options: {
      cause?: unknown;
      stuck?: boolean;
      childPid?: number | undefined;
      kernelLog?: Known<readonly string[]> | undefined;
    } = {},
  ) {
    const { cause, stuck = false, childPid, kernelLog } = options;
    super(stuck ? 'STUCK' : 'HOST_IO', `${operation} ${path}: ${errno}`, {
      cause,
      remedy: stuck ? 'see what holds the device: dmesg | tail' : REMEDIES[errno],
      details: { path, errno, operation, childPid: childPid ?? null, ...kernelDetails(kernelLog) },
    });
    this.errno = errno;
    this.operation = operation;
    this.path = path;
    this.stuck = stuck;
    this.childPid = childPid;
    this.kernelLog = kernelLog;
  }
}

/** What an error tells of the kernel's log: the lines, or why there are none to tell. */
export function kernelDetails(
  log: HostIoError['kernelLog'],
): Readonly<Record<string, readonly string[] | string>> {
  if (log === undefined) return {};
  return log.known ? { kernelLog: log.value } : { kernelLogUnread: log.reason };
}

const REMEDIES: Readonly<Partial<Record<string, string>>> = {
  EACCES: 'run as root',
  EPERM: 'run as root',
  EROFS: 'this tree is for reading only',
  EIO: 'see what the kernel says of it: dmesg | tail',
};
