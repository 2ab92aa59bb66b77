import type { MemlockLimit } from '../../host/effects.js';
import type { ProcessConfig } from './config.js';
import { KernelError } from './errno.js';

/** A process of the simulated host. */
export interface Process {
  readonly pid: number;
  readonly command: string;
  readonly arguments: readonly string[];
  /** Clock ticks since boot. */
  readonly startTime: number;
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  readonly capabilities: bigint;
  readonly mountinfo: string | undefined;
  readonly mountNamespace: number;
  memlock: MemlockLimit;
  /** Bytes pinned by VFIO. */
  lockedBytes: bigint;
  /** Bytes pinned by iommufd, which counts them to the user. */
  pinnedBytes: bigint;
  /** What each descriptor is, as readlink of /proc/<pid>/fd/<n> shows it. */
  readonly fds: Map<number, string>;
}

export const CAP_IPC_LOCK = 1n << 14n;
const ALL_CAPABILITIES = 0x1ffffffffffn;
const FIRST_MOUNT_NAMESPACE = 4026531841;
/** systemd's default: 8 MiB. */
const DEFAULT_MEMLOCK: MemlockLimit = { soft: 8_388_608n, hard: 8_388_608n };

/** All processes by pid. Numbers are never used twice unless asked for by name. */
export class ProcessTable {
  readonly #processes = new Map<number, Process>();
  #nextPid = 4001;
  #nextStart = 1000;

  start(config: ProcessConfig): Process {
    const uid = config.uid ?? 0;
    const process: Process = {
      pid: config.pid ?? this.#nextPid++,
      command: config.command,
      arguments: config.arguments ?? [config.command],
      startTime: this.#nextStart++,
      uid,
      gid: config.gid ?? 0,
      groups: config.groups ?? [],
      capabilities: config.capabilities ?? (uid === 0 ? ALL_CAPABILITIES : 0n),
      mountinfo: config.mountinfo,
      mountNamespace: config.mountNamespace ?? FIRST_MOUNT_NAMESPACE,
      memlock: config.memlock ?? DEFAULT_MEMLOCK,
      lockedBytes: 0n,
      pinnedBytes: 0n,
      fds: new Map([
        [0, '/dev/null'],
        [1, 'pipe:[11001]'],
        [2, 'pipe:[11002]'],
      ]),
    };
    if (this.#processes.has(process.pid)) throw new Error(`Process ${process.pid} exists`);
    this.#processes.set(process.pid, process);
    return process;
  }

  end(pid: number): void {
    this.#processes.delete(pid);
  }

  get(pid: number): Process | undefined {
    return this.#processes.get(pid);
  }

  /** @throws {KernelError} `ESRCH`. */
  require(pid: number): Process {
    const process = this.#processes.get(pid);
    if (process === undefined) throw new KernelError('ESRCH');
    return process;
  }

  /** In order of pid. */
  all(): readonly Process[] {
    return [...this.#processes.values()].sort((a, b) => a.pid - b.pid);
  }
}

/** Gives the process a descriptor for `target`, at the lowest free number. */
export function openFd(process: Process, target: string): number {
  let fd = 3;
  while (process.fds.has(fd)) fd++;
  process.fds.set(fd, target);
  return fd;
}

export function closeFdNumber(process: Process, fd: number): void {
  process.fds.delete(fd);
}

/** Closes one descriptor that shows `target`. */
export function closeFd(process: Process, target: string): void {
  for (const [fd, shown] of process.fds) {
    if (shown !== target) continue;
    process.fds.delete(fd);
    return;
  }
}
