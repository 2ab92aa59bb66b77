import type { Owner } from '../engine/owner.js';
import { HostError, HostNotReadyError } from '../errors.js';
import { formatSize } from '../pci/size.js';
import { mayLockAnyMemory, readCredentials } from './credentials.js';
import type { HostEffects, MemlockLimit } from './effects.js';
import { isAlive, listProcesses, readProcess } from './process.js';
import { formatMemlock } from './memlock-text.js';
import { hostFailure, isStuck } from './reading.js';

const GIB = 1n << 30n;

/**
 * What a VM pins: all of its RAM, plus 1 GiB for the BARs and the like. Behind a virtual IOMMU every
 * device has an address space of its own and pins the RAM once more.
 * Source: libvirt qemuDomainGetMemLockLimitBytes, 8.7.
 *
 * @returns bytes.
 */
export function neededMemlock(vm: {
  readonly ramBytes: bigint;
  readonly hasVirtualIommu?: boolean | undefined;
  /** VFIO devices after the attach. */
  readonly vfioDeviceCount: number;
}): bigint {
  const copies = vm.hasVirtualIommu === true ? BigInt(Math.max(vm.vfioDeviceCount, 1)) : 1n;
  return copies * vm.ramBytes + GIB;
}

/** A limit in JSON: decimal bytes, or null for unlimited. */
export interface LimitRecord {
  readonly soft: string | null;
  readonly hard: string | null;
}

/** The highest of several limits, soft and hard each for itself; undefined of none. */
export function highestLimit(limits: readonly LimitRecord[]): LimitRecord | undefined {
  const higher = (a: string | null, b: string | null) =>
    a === null || b === null ? null : BigInt(a) > BigInt(b) ? a : b;
  return limits.length === 0
    ? undefined
    : limits.reduce((a, b) => ({ soft: higher(a.soft, b.soft), hard: higher(a.hard, b.hard) }));
}

/** RLIMIT_MEMLOCK of QEMU before we raised it, and what we made of it. Plain JSON. */
export interface MemlockRecord {
  readonly process: Owner;
  readonly before: LimitRecord;
  readonly raised: LimitRecord;
}

/**
 * What raising the limit would change, to be kept before the raise; `undefined` when the process may
 * lock as much already. A limit is only ever raised.
 *
 * @throws {HostError} `VM_GONE`, `HOST_UNREADABLE`.
 */
export async function planMemlock(
  effects: HostEffects,
  pid: number,
  neededBytes: bigint,
): Promise<MemlockRecord | undefined> {
  const process = await readProcess(effects, pid);
  if (process === undefined) throw new HostError('VM_GONE', `Process ${pid} does not exist`);
  if (mayLockAnyMemory(await readCredentials(effects, pid))) return undefined;
  const before = await readLimit(effects, pid);
  const atLeast = (limit: bigint | undefined) =>
    limit === undefined || limit >= neededBytes ? limit : neededBytes;
  const raised = { soft: atLeast(before.soft), hard: atLeast(before.hard) };
  if (isSameLimit(before, raised)) return undefined;
  const { bootId, startTime, pidNamespace } = process;
  return {
    process: { bootId, pid, startTime, pidNamespace },
    before: toRecord(before),
    raised: toRecord(raised),
  };
}

/**
 * What other processes of a process's user have pinned. iommufd counts per user, where a group's container counts
 * per process (iopt_alloc_pages, drivers/iommu/iommufd/pages.c, 6.12: IOPT_PAGES_ACCOUNT_USER).
 *
 * @returns bytes; of processes that cannot be read, none.
 */
export async function pinnedByOthers(effects: HostEffects, pid: number): Promise<bigint> {
  const [mine, ...others] = await Promise.all(
    [pid, ...(await listProcesses(effects)).filter((other) => other !== pid)].map((each) =>
      effects.read(`/proc/${each}/status`).then(readPinned, () => undefined),
    ),
  );
  return others
    .filter((other) => other !== undefined && other.uid === mine?.uid)
    .reduce((sum, other) => sum + (other?.bytes ?? 0n), 0n);
}

/** proc_pid_status(5): the real user, and VmPin in KiB. */
function readPinned(status: string): { readonly uid: string | undefined; readonly bytes: bigint } {
  const pinned = /^VmPin:\s*(\d+) kB$/m.exec(status)?.[1] ?? '0';
  return { uid: /^Uid:\s*(\d+)/m.exec(status)?.[1], bytes: BigInt(pinned) * 1024n };
}

/**
 * Raises the limit as planned and reads it back.
 *
 * @throws {HostNotReadyError} `MEMLOCK` where that is not permitted.
 */
export async function raiseMemlock(effects: HostEffects, record: MemlockRecord): Promise<void> {
  const { pid } = record.process;
  const raised = fromRecord(record.raised);
  try {
    await effects.setMemlock(pid, raised);
  } catch (error) {
    throw isStuck(error) ? hostFailure(`process ${pid}`, error) : tooLow(pid, raised, error);
  }
  if (!isSameLimit(await readLimit(effects, pid), raised)) throw tooLow(pid, raised);
}

/**
 * Puts the limit back. Left alone when the process has ended (`gone`) or when someone has set another
 * limit since (`changed`).
 */
export async function restoreMemlock(
  effects: HostEffects,
  record: MemlockRecord,
): Promise<'restored' | 'already' | 'changed' | 'gone'> {
  const { pid } = record.process;
  const alive = await isAlive(effects, record.process);
  if (!alive.known) {
    throw new HostError('HOST_UNREADABLE', `Process ${pid}: ${alive.reason}`);
  }
  if (!alive.value) return 'gone';
  const current = await readLimit(effects, pid);
  const before = fromRecord(record.before);
  if (isSameLimit(current, before)) return 'already';
  if (!isSameLimit(current, fromRecord(record.raised))) return 'changed';
  try {
    await effects.setMemlock(pid, before);
  } catch (error) {
    throw hostFailure(`process ${pid}`, error);
  }
  return 'restored';
}

async function readLimit(effects: HostEffects, pid: number): Promise<MemlockLimit> {
  try {
    return await effects.readMemlock(pid);
  } catch (error) {
    throw hostFailure(`process ${pid}`, error, 'HOST_UNREADABLE');
  }
}

function tooLow(pid: number, wanted: MemlockLimit, cause?: unknown): HostNotReadyError {
  const size = wanted.soft === undefined ? 'unlimited' : formatSize(wanted.soft);
  return new HostNotReadyError(
    'MEMLOCK',
    `Process ${pid} may not lock enough memory: RLIMIT_MEMLOCK has to be ${size}`,
    {
      cause,
      remedy: `prlimit --pid ${pid} --memlock=${formatMemlock(wanted)}, or LimitMEMLOCK= in its unit`,
      details: { pid, neededBytes: String(wanted.soft ?? 'unlimited') },
    },
  );
}

function isSameLimit(a: MemlockLimit, b: MemlockLimit): boolean {
  return a.soft === b.soft && a.hard === b.hard;
}

function toRecord({ soft, hard }: MemlockLimit): LimitRecord {
  return { soft: soft?.toString() ?? null, hard: hard?.toString() ?? null };
}

function fromRecord({ soft, hard }: LimitRecord): MemlockLimit {
  const read = (text: string | null) => (text === null ? undefined : BigInt(text));
  return { soft: read(soft), hard: read(hard) };
}
