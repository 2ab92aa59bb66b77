import type { HostEffects } from './effects.js';
import { isMdevUuid } from './mdev-name.js';
import { mdevPath } from './mdev.js';
import { exists, ifPresent, listOrNone } from './reading.js';

/** Through which every address space of iommufd is made. */
export const IOMMU_NODE = '/dev/iommu';

/** The node of a vfio cdev by its name, `vfio3`. */
export const cdevNode = (name: string) => `/dev/vfio/devices/${name}`;

/**
 * Name of the vfio cdev (`vfio3`) of a function or an mdev; undefined without one. The `vfio-dev` directory
 * alone proves nothing: a kernel without cdevs has it too.
 *
 * @param device a BDF or a UUID.
 */
export async function readCdev(effects: HostEffects, device: string): Promise<string | undefined> {
  const path = isMdevUuid(device) ? mdevPath(device) : `/sys/bus/pci/devices/${device}`;
  const directory = `${path}/vfio-dev`;
  const name = (await listOrNone(effects, directory)).find((each) => /^vfio\d+$/.test(each));
  if (name === undefined || !(await exists(effects, `${directory}/${name}/dev`))) return undefined;
  return (await exists(effects, cdevNode(name))) ? name : undefined;
}

/** The cdevs of everything in an IOMMU group. */
export async function groupCdevs(effects: HostEffects, group: number): Promise<readonly string[]> {
  const members = await listOrNone(effects, `/sys/kernel/iommu_groups/${group}/devices`);
  const cdevs = await Promise.all(members.map((member) => readCdev(effects, member)));
  return cdevs.filter((name) => name !== undefined);
}

/**
 * Whether the kernel makes cdevs: it takes device numbers for them under this name as soon as its module vfio is
 * there (vfio_cdev_init, drivers/vfio/device_cdev.c, 6.12).
 *
 * @returns undefined where vfio is not loaded, so that nobody can tell.
 */
export async function hasCdevs(effects: HostEffects): Promise<boolean | undefined> {
  const devices = (await ifPresent(effects.read('/proc/devices'))) ?? '';
  if (/^ *\d+ vfio-dev$/m.test(devices)) return true;
  return /^ *\d+ vfio$/m.test(devices) ? false : undefined;
}
