import type { HostEffects } from './effects.js';
import { HostIoError } from './effects.js';
import { ifPresent, isDenied, isMissing, mapBounded } from './reading.js';
import { listProcesses } from './process.js';
import { sharedLook } from './shared-look.js';

/** Who has which file open, as far as we may look. */
export interface OpenFiles {
  /** Processes by the target of their descriptors: `/dev/vfio/17`, `socket:[4711]`. */
  readonly holders: ReadonlyMap<string, readonly number[]>;
  /** Processes whose descriptors could not be read. */
  readonly hidden: readonly number[];
  /** The first failure among them that was no refusal, and so may pass. */
  readonly failure: HostIoError | undefined;
}

const PROCESSES_AT_ONCE = 16;

/**
 * Reads /proc/<pid>/fd of the given processes (by default all) once. A process that ends meanwhile
 * holds nothing.
 */
export function readOpenFiles(effects: HostEffects, pids?: readonly number[]): Promise<OpenFiles> {
  return pids === undefined ? readAllOpenFiles(effects) : readOpenFilesOf(effects, pids);
}

const readAllOpenFiles = sharedLook(async (effects) =>
  readOpenFilesOf(effects, await listProcesses(effects)),
);

async function readOpenFilesOf(effects: HostEffects, pids: readonly number[]): Promise<OpenFiles> {
  const holders = new Map<string, number[]>();
  const hidden: number[] = [];
  let failure: HostIoError | undefined;
  await mapBounded(pids, PROCESSES_AT_ONCE, async (pid) => {
    try {
      const targets = new Set(await readTargets(effects, pid));
      for (const target of targets) {
        const list = holders.get(target);
        if (list === undefined) holders.set(target, [pid]);
        else list.push(pid);
      }
    } catch (error) {
      if (!(error instanceof HostIoError)) throw error;
      if (isMissing(error)) return;
      hidden.push(pid);
      if (!isDenied(error)) failure ??= error;
    }
  });
  return { holders, hidden, failure };
}

async function readTargets(effects: HostEffects, pid: number): Promise<readonly string[]> {
  const descriptors = await effects.list(`/proc/${pid}/fd`);
  const targets: string[] = [];
  for (const descriptor of descriptors) {
    const target = await ifPresent(effects.readlink(`/proc/${pid}/fd/${descriptor}`));
    if (target !== undefined) targets.push(target);
  }
  return targets;
}

/**
 * Processes that have a device node open. The path is matched by its end: a process in
 * another mount namespace or root sees `/dev` elsewhere, and a removed node reads ` (deleted)`.
 */
export function holdersOfNode(files: OpenFiles, node: string): readonly number[] {
  const tail = node.replace(/^\/dev(?=\/)/, '');
  const found = [...files.holders].flatMap(([target, pids]) => {
    const path = target.replace(/ \(deleted\)$/, '');
    return path === node || path.endsWith(`/dev${tail}`) || path === tail ? pids : [];
  });
  return [...new Set(found)].sort((a, b) => a - b);
}
