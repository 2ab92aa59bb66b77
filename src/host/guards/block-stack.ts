import { posix } from 'node:path';
import type { Bdf } from '../../pci/pci-address.js';
import { pciFunctionsOn, readClassDevices } from '../class-devices.js';
import type { HostEffects } from '../effects.js';
import { ifPresent, listOrNone, mapBounded, readAttribute } from '../reading.js';

/** A disk, a partition, or something stacked on them. */
export interface BlockDevice {
  /** Kernel name: `nvme0n1p2`, `dm-3`. */
  readonly name: string;
  /** `major:minor` */
  readonly number: string;
  /** Name below /dev/mapper. */
  readonly mapperName: string | undefined;
  /** PCI functions it goes away with. */
  readonly functions: readonly Bdf[];
  /** Kernel names of what is built directly on it: dm, LVM, md, bcache, loop. */
  readonly upper: readonly string[];
}

/** Every block device of the host by kernel name. */
export async function readBlockDevices(
  effects: HostEffects,
): Promise<ReadonlyMap<string, BlockDevice>> {
  const entries = await readClassDevices(effects, '/sys/class/block');
  const loops = await readLoops(
    effects,
    entries.map(({ name }) => name),
  );
  const devices = await mapBounded(entries, 16, async ({ name, path, functions }) => {
    const directory = `/sys/class/block/${name}`;
    const holders = await listOrNone(effects, `${directory}/holders`);
    const device: BlockDevice = {
      name,
      number: (await readAttribute(effects, `${directory}/dev`)) ?? '',
      mapperName: /^dm-/.test(name)
        ? await readAttribute(effects, `${directory}/dm/name`)
        : undefined,
      functions: functions.length > 0 ? functions : await multipathFunctions(effects, path),
      upper: [...holders, ...(loops.get(`/dev/${name}`) ?? [])],
    };
    return [name, device] as const;
  });
  return new Map(devices);
}

/** Everything that goes away with the function: its disks and partitions and all that is stacked on them. */
export function stackOn(
  devices: ReadonlyMap<string, BlockDevice>,
  bdf: Bdf,
): readonly BlockDevice[] {
  const stack = new Map<string, BlockDevice>();
  const add = (device: BlockDevice | undefined) => {
    if (device === undefined || stack.has(device.name)) return;
    stack.set(device.name, device);
    for (const name of device.upper) add(devices.get(name));
  };
  for (const device of devices.values()) if (device.functions.includes(bdf)) add(device);
  return [...stack.values()];
}

/** Whether a text such as a mount's source or a swap file names the device. */
export function isNamedBy({ name, mapperName }: BlockDevice, path: string): boolean {
  return (
    path === `/dev/${name}` || (mapperName !== undefined && path === `/dev/mapper/${mapperName}`)
  );
}

/**
 * With NVMe multipath a namespace hangs below its subsystem, a virtual device that links to the
 * controllers it is reached through.
 */
async function multipathFunctions(effects: HostEffects, path: string): Promise<readonly Bdf[]> {
  const subsystem = /^(\/sys\/devices\/virtual\/nvme-subsystem\/[^/]+)\//.exec(path)?.[1];
  if (subsystem === undefined) return [];
  const names = await listOrNone(effects, subsystem);
  const controllers = names.filter((name) => /^nvme\d+$/.test(name));
  const targets = await Promise.all(
    controllers.map((name) => ifPresent(effects.readlink(`${subsystem}/${name}`))),
  );
  return targets.flatMap((target) =>
    target === undefined ? [] : pciFunctionsOn(posix.resolve(subsystem, target)),
  );
}

/** Loop devices by the node they are set up on; the kernel keeps no `holders` link for them. */
async function readLoops(
  effects: HostEffects,
  names: readonly string[],
): Promise<ReadonlyMap<string, readonly string[]>> {
  const loops = new Map<string, string[]>();
  for (const name of names.filter((each) => /^loop\d+$/.test(each))) {
    const file = await readAttribute(effects, `/sys/class/block/${name}/loop/backing_file`);
    if (file !== undefined) loops.set(file, [...(loops.get(file) ?? []), name]);
  }
  return loops;
}
