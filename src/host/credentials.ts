import { HostError } from '../errors.js';
import type { HostEffects, HostStat } from './effects.js';
import { hostFailure, ifPresent, reasonOf } from './reading.js';

/** As whom a process opens files and pins memory. */
export interface ProcessCredentials {
  /** File system ids, as this process's user namespace shows them. */
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  /** Effective capabilities that count on the host; none in a user namespace of its own. */
  readonly capabilities: bigint;
}

// Linux include/uapi/linux/capability.h.
const CAP_DAC_OVERRIDE = 1n;
const CAP_IPC_LOCK = 14n;

/** Inode of the first user namespace: Linux include/linux/proc_ns.h, PROC_USER_INIT_INO. */
const INITIAL_USER_NAMESPACE = 'user:[4026531837]';

/** Reads /proc/<pid>/status. @throws {HostError} `VM_GONE`, `HOST_UNREADABLE` */
export async function readCredentials(
  effects: HostEffects,
  pid: number,
): Promise<ProcessCredentials> {
  const status = await ifPresent(effects.read(`/proc/${pid}/status`)).catch((error: unknown) => {
    throw hostFailure(`process ${pid}`, error, 'HOST_UNREADABLE');
  });
  if (status === undefined) throw new HostError('VM_GONE', `Process ${pid} does not exist`);
  const credentials = parseCredentials(status);
  if (credentials === undefined) {
    throw new HostError('HOST_UNREADABLE', `/proc/${pid}/status cannot be understood`);
  }
  const isOnHost = await isInInitialUserNamespace(effects, pid);
  return isOnHost ? credentials : { ...credentials, capabilities: 0n };
}

/** The ids and capabilities in the text of /proc/<pid>/status. */
export function parseCredentials(status: string): ProcessCredentials | undefined {
  const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1];
  const numbers = (name: string) => field(name)?.split(/\s+/).filter(Boolean).map(Number) ?? [];
  // Real, effective, saved, file system.
  const [uid, gid, capabilities] = [numbers('Uid')[3], numbers('Gid')[3], field('CapEff')];
  if (uid === undefined || gid === undefined || !/^[0-9a-f]+$/i.test(capabilities ?? '')) {
    return undefined;
  }
  return { uid, gid, groups: numbers('Groups'), capabilities: BigInt(`0x${capabilities}`) };
}

/** Whether memory limits do not apply to the process. */
export function mayLockAnyMemory({ capabilities }: ProcessCredentials): boolean {
  return hasCapability(capabilities, CAP_IPC_LOCK);
}

/** Whether neither modes nor access control lists keep the process out. */
export function isAboveModes({ capabilities }: ProcessCredentials): boolean {
  return hasCapability(capabilities, CAP_DAC_OVERRIDE);
}

/** Whether the mode bits let the process read and write a node. */
export function canReadWrite(who: ProcessCredentials, stat: HostStat): boolean {
  if (isAboveModes(who)) return true;
  // The first class that applies decides, also when a later one would allow more.
  if (who.uid === stat.uid) return (stat.mode & 0o600) === 0o600;
  const isInGroup = who.gid === stat.gid || who.groups.includes(stat.gid);
  return isInGroup ? (stat.mode & 0o060) === 0o060 : (stat.mode & 0o006) === 0o006;
}

function hasCapability(capabilities: bigint, bit: bigint): boolean {
  return ((capabilities >> bit) & 1n) === 1n;
}

/** A namespace that cannot be read counts as foreign: that grants more than needed, never less. */
async function isInInitialUserNamespace(effects: HostEffects, pid: number): Promise<boolean> {
  try {
    const namespace = await ifPresent(effects.readlink(`/proc/${pid}/ns/user`));
    return namespace === undefined || namespace === INITIAL_USER_NAMESPACE;
  } catch (error) {
    reasonOf(error);
    return false;
  }
}
