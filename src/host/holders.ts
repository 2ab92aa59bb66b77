import { known, unknown, type Known } from '../known.js';
import type { HostEffects } from './effects.js';
import { holdersOfNode, readOpenFiles, type OpenFiles } from './open-files.js';
import { readCommand, seesWholeHost } from './process.js';
import { reasonOf } from './reading.js';
import type { VfioHolder } from './types.js';

/**
 * Who has the nodes open, per node. Nobody is an answer only where every descriptor of every process
 * could be read; one found holder is an answer in any case, since a group node and a cdev
 * open only once. Where the processes were not all seen, the reason says which.
 */
export async function readHolders(
  effects: HostEffects,
  nodes: readonly string[],
  files?: OpenFiles,
): Promise<ReadonlyMap<string, Known<readonly VfioHolder[]>>> {
  try {
    const open = files ?? (await readOpenFiles(effects));
    const blindness = await describeBlindness(effects, open);
    const results = nodes.map(async (node) => {
      const holders = await describeHolders(effects, open, node);
      const isTold = holders.length > 0 || blindness === undefined;
      return [node, isTold ? known(holders) : unknown(blindness)] as const;
    });
    return new Map(await Promise.all(results));
  } catch (error) {
    return new Map(nodes.map((node) => [node, unknown(reasonOf(error))]));
  }
}

/** Who has the group node of an IOMMU group or one of the named cdevs (`vfio3`) open. */
export async function readGroupHolders(
  effects: HostEffects,
  group: number,
  options: { readonly cdevs?: readonly string[]; readonly files?: OpenFiles } = {},
): Promise<Known<readonly VfioHolder[]>> {
  const nodes = vfioNodes(group, options.cdevs ?? []);
  const answers = [...(await readHolders(effects, nodes, options.files)).values()];
  const found = answers.flatMap((answer) => (answer.known ? answer.value : []));
  return found.length > 0 ? known(found) : (answers.find((answer) => !answer.known) ?? known([]));
}

/** The device nodes through which a group's members are reached. */
export function vfioNodes(group: number, cdevs: readonly string[]): readonly string[] {
  return [`/dev/vfio/${group}`, ...cdevs.map((name) => `/dev/vfio/devices/${name}`)];
}

/** Whether one process has a node open: what to ask of the QEMU that has just let go of it. */
export async function isHeldBy(
  effects: HostEffects,
  pid: number,
  node: string,
): Promise<Known<boolean>> {
  const files = await readOpenFiles(effects, [pid]);
  return files.hidden.length > 0
    ? unknown(`the open files of process ${pid} cannot be read`)
    : known(holdersOfNode(files, node).length > 0);
}

/** Why "nobody" would not be certain; undefined where it would. */
export async function describeBlindness(
  effects: HostEffects,
  { hidden }: OpenFiles,
): Promise<string | undefined> {
  const [first] = hidden;
  if (first !== undefined) {
    const others = hidden.length === 1 ? '' : ` and ${hidden.length - 1} more`;
    return `the open files of process ${first}${others} cannot be read`;
  }
  return (await seesWholeHost(effects))
    ? undefined
    : 'this PID namespace does not show every process of the host';
}

async function describeHolders(
  effects: HostEffects,
  files: OpenFiles,
  node: string,
): Promise<readonly VfioHolder[]> {
  const pids = holdersOfNode(files, node);
  return Promise.all(
    pids.map(async (pid) => ({ pid, command: await readCommand(effects, pid), node })),
  );
}
