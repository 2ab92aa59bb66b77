import type { HostEffects } from '../effects.js';
import { listProcesses, seesWholeHost } from '../process.js';
import { ifPresent, isMissing, mapBounded } from '../reading.js';

/** One mount in one mount namespace. */
export interface Mount {
  /** `major:minor`; `0:N` for file systems that span devices or have none. */
  readonly number: string;
  readonly mountPoint: string;
  readonly fsType: string;
  readonly source: string;
  readonly superOptions: string;
  /** A process that lives in the mount namespace. */
  readonly pid: number | 'self';
}

export interface MountTable {
  readonly mounts: readonly Mount[];
  /** Why there may be more mounts; undefined when every namespace was read. */
  readonly blindness: string | undefined;
}

/** Reads the text of a mountinfo file: Linux Documentation/filesystems/proc.rst, section 3.5. */
export function parseMountInfo(text: string, pid: Mount['pid']): readonly Mount[] {
  return text.split('\n').flatMap((line) => {
    const [head = '', tail] = line.split(' - ');
    const [, , number, , mountPoint] = head.split(' ');
    if (tail === undefined || number === undefined || mountPoint === undefined) return [];
    const [fsType = '', source = '', superOptions = ''] = tail.split(' ').map(unescapeField);
    return [{ number, mountPoint: unescapeField(mountPoint), fsType, source, superOptions, pid }];
  });
}

/** The kernel writes blanks and backslashes in a field as `\040` and the like. */
export function unescapeField(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(parseInt(octal, 8)),
  );
}

/**
 * The mounts of our own and of every other mount namespace: containers and services with private
 * mounts are not in our own table.
 */
export async function readMounts(effects: HostEffects): Promise<MountTable> {
  const mounts = [...parseMountInfo(await effects.read('/proc/self/mountinfo'), 'self')];
  const own = await ifPresent(effects.readlink('/proc/self/ns/mnt'));
  const namespaces = new Map<string, number[]>();
  const hidden: number[] = [];
  await mapBounded(await listProcesses(effects), 32, async (pid) => {
    try {
      const namespace = await effects.readlink(`/proc/${pid}/ns/mnt`);
      if (namespace === own) return;
      const pids = namespaces.get(namespace);
      if (pids === undefined) namespaces.set(namespace, [pid]);
      else pids.push(pid);
    } catch (error) {
      if (!isMissing(error)) hidden.push(pid);
    }
  });
  for (const pids of namespaces.values()) mounts.push(...(await readNamespace(effects, pids)));
  return { mounts, blindness: await describeBlindness(effects, hidden) };
}

/** Any living member of the namespace will do; a namespace without one has no mounts that matter. */
async function readNamespace(
  effects: HostEffects,
  pids: readonly number[],
): Promise<readonly Mount[]> {
  for (const pid of pids) {
    const text = await ifPresent(effects.read(`/proc/${pid}/mountinfo`));
    if (text !== undefined) return parseMountInfo(text, pid);
  }
  return [];
}

async function describeBlindness(
  effects: HostEffects,
  hidden: readonly number[],
): Promise<string | undefined> {
  const [first] = hidden;
  if (first !== undefined) return `the mount namespace of process ${first} cannot be read`;
  return (await seesWholeHost(effects))
    ? undefined
    : 'this PID namespace does not show every mount namespace of the host';
}
