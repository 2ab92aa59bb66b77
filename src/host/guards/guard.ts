import type { Bdf } from '../../pci/pci-address.js';
import { readClassDevices, type ClassDevice } from '../class-devices.js';
import type { HostEffects } from '../effects.js';
import { describeBlindness } from '../holders.js';
import { holdersOfNode, type OpenFiles } from '../open-files.js';
import { readCommand } from '../process.js';
import type { HostDevice, UseFinding } from '../types.js';

/** What the guards look at; the facts that several of them need are read once. */
export interface GuardContext {
  readonly effects: HostEffects;
  readonly devices: ReadonlyMap<Bdf, HostDevice>;
  readonly files: OpenFiles;
  /** Why not all open files are seen; undefined where they are. */
  readonly blindness: string | undefined;
  /** QEMU of the VM in question. */
  readonly vmPid: number | undefined;
  /** Devices of a class that hang below the function at any depth, so that they go with it. */
  below(directory: string, bdf: Bdf): Promise<readonly ClassDevice[]>;
  /** The value of `read`, which runs once per key in this context. */
  once<T>(key: string, read: () => Promise<T>): Promise<T>;
}

/** One way in which the host may be using a function. */
export interface Guard {
  /** Names the finding `unreadable.<subject>` when the guard cannot look. */
  readonly subject: string;
  find(context: GuardContext, device: HostDevice): Promise<readonly UseFinding[]>;
}

/** A blocking use, before it is laid at a function's door. */
export type Use = Pick<UseFinding, 'reason' | 'evidence' | 'remedy'>;

export async function createGuardContext(
  effects: HostEffects,
  seen: {
    devices: ReadonlyMap<Bdf, HostDevice>;
    files: OpenFiles;
    vmPid: number | undefined;
  },
): Promise<GuardContext> {
  const memory = new Map<string, Promise<unknown>>();
  const once = <T>(key: string, read: () => Promise<T>): Promise<T> => {
    // Each key is used with one type only.
    const value = (memory.get(key) as Promise<T> | undefined) ?? read();
    memory.set(key, value);
    return value;
  };
  return {
    effects,
    ...seen,
    blindness: await describeBlindness(effects, seen.files),
    once,
    async below(directory, bdf) {
      const all = await once(directory, () => readClassDevices(effects, directory));
      return all.filter(({ functions }) => functions.includes(bdf));
    },
  };
}

/** `qemu-system-x86 (pid 812)` for each process that has the node open, the VM's own left out. */
export async function describeOpeners(
  { effects, files, vmPid }: GuardContext,
  node: string,
): Promise<readonly string[]> {
  const pids = holdersOfNode(files, node).filter((pid) => pid !== vmPid);
  return Promise.all(pids.map(async (pid) => `${await readCommand(effects, pid)} (pid ${pid})`));
}

/** The finding for what could not be seen; it blocks, because unseen is not unused. */
export function unreadable(
  bdf: Bdf,
  subject: string,
  reason: string,
  remedy = 'run on the host itself as root with CAP_SYS_PTRACE',
): UseFinding {
  return {
    bdf,
    level: 'block',
    reason: `unreadable.${subject}`,
    evidence: `whether the host uses it cannot be told: ${reason}`,
    remedy,
  };
}
