import type { Liveness, Owner } from '../engine/owner.js';
import { RefusedError } from '../errors.js';
import { known, unknown, type Known } from '../known.js';
import type { HostEffects } from './effects.js';
import { ifPresent, isMissing, readAttribute, reasonOf } from './reading.js';

/** Inode of the first PID namespace: Linux include/linux/proc_ns.h, PROC_PID_INIT_INO. */
const INITIAL_PID_NAMESPACE = 'pid:[4026531836]';

/** What /proc/<pid>/stat tells of a process. */
export interface ProcessStat {
  readonly command: string;
  /** One letter; `Z` and `X` have ended. */
  readonly state: string;
  readonly threadCount: number;
  /** Field 22: clock ticks since boot. Kept as text: it is only ever compared. */
  readonly startTime: string;
}

/**
 * Reads /proc/<pid>/stat. The command in parentheses may itself hold spaces and parentheses,
 * so the numbered fields are counted from the last `)`.
 */
export function parseProcessStat(text: string): ProcessStat | undefined {
  const open = text.indexOf('(');
  const close = text.lastIndexOf(')');
  // After the parenthesis comes field 3 (state); proc_pid_stat(5) numbers from 1.
  const fields = text
    .slice(close + 1)
    .trim()
    .split(/\s+/);
  const [state, threadCount, startTime] = [fields[0], fields[20 - 3], fields[22 - 3]];
  if (open < 0 || close < open || !state || !startTime || !/^\d+$/.test(startTime)) {
    return undefined;
  }
  const command = text.slice(open + 1, close);
  return { command, state, threadCount: Number(threadCount), startTime };
}

/** This boot's identity. @throws {HostIoError} where /proc is not readable. */
export async function readBootId(effects: HostEffects): Promise<string> {
  return (await effects.read('/proc/sys/kernel/random/boot_id')).trim();
}

/** Namespace in which this /proc numbers processes; undefined on a kernel without PID namespaces. */
export async function readPidNamespace(effects: HostEffects): Promise<string | undefined> {
  return ifPresent(effects.readlink('/proc/self/ns/pid'));
}

/**
 * Whether every process of the host can be in this /proc. In a nested PID namespace "nobody" only
 * means nobody in here.
 */
export async function seesWholeHost(effects: HostEffects): Promise<boolean> {
  const namespace = await readPidNamespace(effects);
  return namespace === undefined || namespace === INITIAL_PID_NAMESPACE;
}

/**
 * The identity of a process, `undefined` when there is none of that number. Its namespace is ours, in
 * which the number was found, and not the one the process itself lives in.
 */
export async function readProcess(
  effects: HostEffects,
  pid: number,
): Promise<(Owner & { readonly command: string }) | undefined> {
  const text = await ifPresent(effects.read(`/proc/${pid}/stat`));
  const stat = text === undefined ? undefined : parseProcessStat(text);
  if (stat === undefined) return undefined;
  return {
    bootId: await readBootId(effects),
    pid,
    startTime: stat.startTime,
    pidNamespace: await readPidNamespace(effects),
    command: stat.command,
  };
}

/**
 * Whether exactly this process still runs. Dead is proven, never guessed: another boot, no such
 * process in a /proc that shows them all, a later process of the same number, or one that has ended
 * and only waits to be reaped (its files are closed by then).
 */
export async function isAlive(effects: HostEffects, owner: Owner): Promise<Known<boolean>> {
  try {
    if ((await readBootId(effects)) !== owner.bootId) return known(false);
    const namespace = await readPidNamespace(effects);
    if (namespace !== owner.pidNamespace) {
      return unknown(`process ${owner.pid} was seen in another PID namespace`);
    }
    const text = await ifPresent(effects.read(`/proc/${owner.pid}/stat`));
    if (text === undefined) return await provenAbsent(effects, owner.pid);
    const stat = parseProcessStat(text);
    if (stat === undefined) return unknown(`/proc/${owner.pid}/stat cannot be understood`);
    if (stat.startTime !== owner.startTime) return known(false);
    // A zombie with further threads has lost its first thread only; the others still run.
    const ended = (stat.state === 'Z' || stat.state === 'X') && stat.threadCount <= 1;
    return known(!ended);
  } catch (error) {
    return unknown(reasonOf(error));
  }
}

/** Under `hidepid=2` other users' processes look absent; then process 1 looks absent too. */
async function provenAbsent(effects: HostEffects, pid: number): Promise<Known<boolean>> {
  const first = await ifPresent(effects.stat('/proc/1'));
  return first === undefined
    ? unknown(`/proc hides other users' processes, so ${pid} may still run`)
    : known(false);
}

/** The engine's view of processes, answered by this host. */
export function createLiveness(effects: HostEffects, selfPid: number = process.pid): Liveness {
  return {
    async self() {
      const self = await readProcess(effects, selfPid);
      if (self === undefined) {
        throw new RefusedError('HOST_UNREADABLE', `/proc does not show this process (${selfPid})`, {
          remedy:
            'mount /proc as this process sees it; a tree that stands in for it is for reading alone',
          details: { pid: selfPid },
        });
      }
      const { bootId, pid, startTime, pidNamespace } = self;
      return { bootId, pid, startTime, pidNamespace };
    },
    isAlive: (owner) => isAlive(effects, owner),
  };
}

/** Numbers of the processes in /proc, ascending. */
export async function listProcesses(effects: HostEffects): Promise<readonly number[]> {
  const names = await effects.list('/proc');
  return names
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .sort((a, b) => a - b);
}

/** Short name of a process; a question mark where it has just ended. */
export async function readCommand(effects: HostEffects, pid: number): Promise<string> {
  try {
    // Not cmdline: reading that one takes the process's memory lock and can hang with it.
    return (await readAttribute(effects, `/proc/${pid}/comm`)) ?? '?';
  } catch (error) {
    if (isMissing(error)) return '?';
    throw error;
  }
}
