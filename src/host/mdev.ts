import { HostError } from '../errors.js';
import type { HostEffects } from './effects.js';
import { isMdevUuid } from './mdev-name.js';
import {
  exists,
  hostFailure,
  ifPresent,
  listOrNone,
  readAttribute,
  readLinkName,
} from './reading.js';

/** A kind of mediated device that a parent can make. */
export interface MdevType {
  /** Name of the parent under /sys/class/mdev_bus: a BDF, or whatever a software parent is called. */
  readonly parent: string;
  /** Directory name: `mtty-2`, `nvidia-222`. */
  readonly type: string;
  readonly name: string | undefined;
  readonly description: string | undefined;
  /** How many more can be made; what one type takes, its siblings lose. */
  readonly available: number;
  /** `vfio-pci`, `vfio-ccw`, `vfio-ap`. */
  readonly deviceApi: string;
}

/** A mediated device that exists. */
export interface Mdev {
  readonly uuid: string;
  readonly parent: string;
  readonly type: string;
  readonly group: number | undefined;
  readonly driver: string | undefined;
  /** The VFIO interface of its type, which is also the name of QEMU's device: `vfio-ccw`. */
  readonly deviceApi: string | undefined;
}

const PARENTS = '/sys/class/mdev_bus';
const DEVICES = '/sys/bus/mdev/devices';
const WRITE_DEADLINE_MS = 15_000;

/** Where an mdev is in sysfs, and what QEMU takes as `sysfsdev`. */
export function mdevPath(uuid: string): string {
  return `${DEVICES}/${uuid}`;
}

/** Every type of every parent, in order. */
export async function listMdevTypes(effects: HostEffects): Promise<readonly MdevType[]> {
  const types: MdevType[] = [];
  for (const parent of [...(await listOrNone(effects, PARENTS))].sort()) {
    const directory = `${PARENTS}/${parent}/mdev_supported_types`;
    for (const type of [...(await listOrNone(effects, directory))].sort()) {
      const attribute = (name: string) => readAttribute(effects, `${directory}/${type}/${name}`);
      types.push({
        parent,
        type,
        name: await attribute('name'),
        description: await attribute('description'),
        available: Number((await attribute('available_instances')) ?? 0),
        deviceApi: (await attribute('device_api')) ?? '',
      });
    }
  }
  return types;
}

/** Every mediated device, by UUID. */
export async function listMdevs(effects: HostEffects): Promise<readonly Mdev[]> {
  const uuids = (await listOrNone(effects, DEVICES)).filter(isMdevUuid).sort();
  const mdevs = await Promise.all(uuids.map((uuid) => readMdev(effects, uuid)));
  return mdevs.filter((mdev) => mdev !== undefined);
}

/** One mediated device; undefined when there is none of that UUID. */
export async function readMdev(effects: HostEffects, uuid: string): Promise<Mdev | undefined> {
  // /sys/bus/mdev/devices/<uuid> -> ../../../devices/.../<parent>/<uuid>
  const target = await ifPresent(effects.readlink(mdevPath(uuid)));
  if (target === undefined) return undefined;
  const group = await readLinkName(effects, `${mdevPath(uuid)}/iommu_group`);
  return {
    uuid,
    parent: target.split('/').at(-2) ?? '',
    type: (await readLinkName(effects, `${mdevPath(uuid)}/mdev_type`)) ?? '',
    group: group === undefined ? undefined : Number(group),
    driver: await readLinkName(effects, `${mdevPath(uuid)}/driver`),
    deviceApi: await readAttribute(effects, `${mdevPath(uuid)}/mdev_type/device_api`),
  };
}

/**
 * Makes a mediated device and looks whether it is there.
 *
 * @throws {HostError} `STUCK`, `HOST_IO`.
 */
export async function createMdev(
  effects: HostEffects,
  { parent, type, uuid }: Pick<Mdev, 'parent' | 'type' | 'uuid'>,
): Promise<void> {
  await write(effects, `${PARENTS}/${parent}/mdev_supported_types/${type}/create`, uuid, uuid);
  if (await exists(effects, mdevPath(uuid))) return;
  throw new HostError('HOST_IO', `${uuid}: created, yet the kernel does not show it`, {
    remedy: `dmesg | grep ${uuid}`,
    details: { device: uuid, parent, type },
  });
}

/** Removes a mediated device; done when it is gone. What is open would make this wait. */
export async function removeMdev(effects: HostEffects, uuid: string): Promise<void> {
  if (!(await exists(effects, mdevPath(uuid)))) return;
  await write(effects, `${mdevPath(uuid)}/remove`, '1', uuid);
  if (!(await exists(effects, mdevPath(uuid)))) return;
  throw new HostError('HOST_IO', `${uuid}: removed, yet the kernel still shows it`, {
    remedy: `dmesg | grep ${uuid}`,
    details: { device: uuid },
  });
}

async function write(
  effects: HostEffects,
  path: string,
  data: string,
  uuid: string,
): Promise<void> {
  try {
    await effects.write(path, data, { deadlineMs: WRITE_DEADLINE_MS });
  } catch (error) {
    throw hostFailure(uuid, error);
  }
}
