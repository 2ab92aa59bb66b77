import type { HostEffects } from '../effects.js';
import { listOrNone, mapBounded, readAttribute } from '../reading.js';

/** Labels of physical slots by `dddd:bb:dd`. */
export type Slots = ReadonlyMap<string, string>;

/** Labels as the firmware or the chassis has them; the kernel names a slot without its function. */
export async function readSlots(effects: HostEffects): Promise<Slots> {
  const names = [...(await listOrNone(effects, '/sys/bus/pci/slots'))].sort();
  const slots = await mapBounded(names, 32, async (name): Promise<readonly [string, string][]> => {
    const address = await readAttribute(effects, `/sys/bus/pci/slots/${name}/address`);
    return address === undefined ? [] : [[address, name]];
  });
  return new Map(slots.flat());
}

/** Which physical package a CPU is in. */
export interface Packages {
  /** The package of the first CPU of a list such as `0-3,8`; undefined for an empty or strange list. */
  of(cpus: string | undefined): number | undefined;
}

export async function readPackages(effects: HostEffects): Promise<Packages> {
  const directory = '/sys/devices/system/cpu';
  const cpus = (await listOrNone(effects, directory)).filter((name) => /^cpu\d+$/.test(name));
  const packages = await mapBounded(cpus, 64, async (cpu): Promise<readonly [string, number][]> => {
    const id = await readAttribute(effects, `${directory}/${cpu}/topology/physical_package_id`);
    return id !== undefined && /^\d+$/.test(id) ? [[cpu.slice('cpu'.length), Number(id)]] : [];
  });
  const byCpu = new Map(packages.flat());
  return { of: (list) => byCpu.get(/^\d+/.exec(list ?? '')?.[0] ?? '') };
}

/** Distances from each NUMA node to all nodes in the order of their numbers; 10 is the node itself. */
export async function readDistances(
  effects: HostEffects,
): Promise<ReadonlyMap<number, readonly number[]>> {
  const directory = '/sys/devices/system/node';
  const nodes = (await listOrNone(effects, directory))
    .filter((name) => /^node\d+$/.test(name))
    .map((name) => Number(name.slice('node'.length)))
    .sort((a, b) => a - b);
  const rows = await mapBounded(nodes, 32, async (node) => {
    const text = await readAttribute(effects, `${directory}/node${node}/distance`);
    const numbers = (text ?? '').trim().split(/\s+/).map(Number);
    // The row has a number for each node that is there; their numbers may have gaps.
    const byNode: number[] = [];
    nodes.forEach((other, index) => (byNode[other] = numbers[index] ?? NaN));
    return [node, byNode] as const;
  });
  return new Map(rows);
}
