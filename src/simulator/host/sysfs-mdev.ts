import type { Kernel } from './kernel.js';
import {
  control,
  directory,
  file,
  link,
  listing,
  type DirectoryNode,
  type Node,
} from './node-tree.js';
import type { Mdev } from './mdev.js';
import { sysfsNumber } from './sysfs-text.js';

/** `/sys/class/mdev_bus`: parents, with the types they offer. */
export function mdevParents(kernel: Kernel): DirectoryNode {
  const { mdevs } = kernel;
  return listing(
    () => mdevs.parents.keys(),
    (parent) => (mdevs.parents.has(parent) ? parentDirectory(kernel, parent) : undefined),
  );
}

/** `/sys/bus/mdev`, which is there with the module. */
export function mdevBus({ mdevs }: Kernel): DirectoryNode {
  return directory({
    devices: () =>
      listing(
        () => mdevs.all.keys(),
        (uuid) => {
          const mdev = mdevs.all.get(uuid);
          return mdev && link(`../../../devices/virtual/mdev/${mdev.parent}/${uuid}`);
        },
      ),
  });
}

/** `/sys/devices/virtual/mdev`: where the devices are, below their parents. */
export function mdevDevices(kernel: Kernel): DirectoryNode {
  const { mdevs } = kernel;
  return listing(
    () => mdevs.parents.keys(),
    (parent) =>
      listing(
        () =>
          [...mdevs.all.values()].filter((mdev) => mdev.parent === parent).map(({ uuid }) => uuid),
        (uuid) => {
          const mdev = mdevs.all.get(uuid);
          return mdev?.parent === parent ? deviceDirectory(kernel, mdev) : undefined;
        },
      ),
  );
}

function parentDirectory(kernel: Kernel, parent: string): DirectoryNode {
  const { mdevs } = kernel;
  const types = mdevs.parents.get(parent) ?? {};
  const typeDirectory = (type: string) => {
    const { name, deviceApi = 'vfio-pci' } = types[type] ?? {};
    const named: Record<string, () => Node> =
      name === undefined ? {} : { name: () => file(() => `${name}\n`) };
    return directory({
      ...named,
      available_instances: () => file(() => `${mdevs.available(parent, type)}\n`),
      device_api: () => file(() => `${deviceApi}\n`),
      create: () =>
        control((data) => {
          mdevs.create(parent, type, data);
        }),
    });
  };
  return directory({
    mdev_supported_types: () =>
      directory(
        Object.fromEntries(Object.keys(types).map((type) => [type, () => typeDirectory(type)])),
      ),
  });
}

function deviceDirectory(kernel: Kernel, { uuid, parent, type, fn }: Mdev): DirectoryNode {
  const { vfioIndex } = fn;
  const node = vfioIndex === undefined ? undefined : kernel.vfio.cdevNodes.get(vfioIndex);
  const inside = node ? { dev: () => file(() => `${node.major}:${node.minor}\n`) } : {};
  return directory({
    ...(vfioIndex === undefined
      ? {}
      : { 'vfio-dev': () => directory({ [`vfio${vfioIndex}`]: () => directory(inside) }) }),
    mdev_type: () => link(`../../../../../class/mdev_bus/${parent}/mdev_supported_types/${type}`),
    iommu_group: () => link(`../../../../../kernel/iommu_groups/${fn.config.group ?? 0}`),
    driver: () => link('../../../../../bus/mdev/drivers/vfio_mdev'),
    remove: () =>
      control((data) => (sysfsNumber(data) === 0n ? undefined : kernel.mdevs.remove(uuid))),
  });
}
