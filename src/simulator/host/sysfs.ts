import { moduleOf } from './drivers.js';
import { mdevBus, mdevDevices, mdevParents } from './sysfs-mdev.js';
import { disksOf, functionDirectory, functionPath, netdevsOf } from './sysfs-function.js';
import type { Kernel } from './kernel.js';
import type { PciFunction } from './pci-function.js';
import { sysfsNumber } from './sysfs-text.js';
import {
  control,
  directory,
  file,
  link,
  listing,
  merge,
  setting,
  type DirectoryNode,
  type Node,
} from './node-tree.js';

/** `/sys` over the kernel's live state. */
export function sysfs(kernel: Kernel): DirectoryNode {
  return directory({
    bus: () => directory({ pci: () => pciBus(kernel), mdev: () => mdevBus(kernel) }),
    class: () =>
      directory({
        block: () => classLinks(kernel, 'block', disksOf),
        iommu: () => iommuClass(kernel),
        mdev_bus: () => mdevParents(kernel),
        net: () => classLinks(kernel, 'net', netdevsOf),
        vfio: () => vfioClass(kernel),
      }),
    devices: () =>
      merge([
        devices(kernel),
        directory({ virtual: () => directory({ mdev: () => mdevDevices(kernel) }) }),
      ]),
    kernel: () => directory({ iommu_groups: () => iommuGroups(kernel) }),
    module: () => modules(kernel),
  });
}

function pciBus(kernel: Kernel): DirectoryNode {
  return directory({
    devices: () =>
      listing(
        () => kernel.functions.map(({ bdf }) => bdf),
        (name) => {
          const fn = kernel.find(name);
          return fn && link(`../../..${functionPath(kernel, fn).slice('/sys'.length)}`);
        },
      ),
    drivers: () =>
      listing(
        () => kernel.drivers.keys(),
        (name) => (kernel.drivers.has(name) ? driverDirectory(kernel, name) : undefined),
      ),
    drivers_probe: () => control((data) => kernel.driverCore.probeDrivers(data)),
    rescan: () =>
      control((data) => {
        if (sysfsNumber(data) !== 0n) kernel.rescan();
      }),
    slots: () => directory({}),
  });
}

function driverDirectory(kernel: Kernel, name: string): DirectoryNode {
  const fixed: Readonly<Record<string, () => Node>> = {
    bind: () => control((data) => kernel.driverCore.bind(name, data)),
    unbind: () => control((data) => kernel.driverCore.unbind(name, data)),
    new_id: () =>
      control((data) => {
        kernel.driverCore.addDynamicId(name, data);
      }),
    remove_id: () =>
      control((data) => {
        kernel.driverCore.removeDynamicId(name, data);
      }),
    module: () => link(`../../../../module/${moduleOf(name)}`),
    uevent: () => control(() => undefined),
  };
  return listing(
    () => [...Object.keys(fixed), ...kernel.driverCore.boundTo(name).map(({ bdf }) => bdf)],
    (entry) => {
      const fn = kernel.find(entry);
      if (fn?.driver === name) {
        return link(`../../../..${functionPath(kernel, fn).slice('/sys'.length)}`);
      }
      return fixed[entry]?.();
    },
  );
}

/** `/sys/devices`: root complexes, with every function below the bridges that lead to it. */
function devices(kernel: Kernel): DirectoryNode {
  const roots = () => [
    ...new Set(kernel.functions.map((fn) => functionPath(kernel, fn).split('/')[3] ?? '')),
  ];
  return listing(roots, (root) => {
    if (!roots().includes(root)) return undefined;
    const top = () =>
      kernel.functions.filter(
        (fn) => functionPath(kernel, fn) === `/sys/devices/${root}/${fn.bdf}`,
      );
    return listing(
      () => top().map(({ bdf }) => bdf),
      (name) => {
        const fn = top().find(({ bdf }) => bdf === name);
        return fn && functionDirectory(kernel, fn);
      },
    );
  });
}

function iommuGroups(kernel: Kernel): DirectoryNode {
  if (kernel.config.iommu === 'none') return directory({});
  return listing(
    () => kernel.groups.map(String),
    (name) => {
      const group = kernel.groups.find((id) => String(id) === name);
      return group === undefined ? undefined : groupDirectory(kernel, group);
    },
  );
}

function groupDirectory(kernel: Kernel, group: number): DirectoryNode {
  return directory({
    devices: () =>
      listing(
        () => [...kernel.members(group).map(({ bdf }) => bdf), ...mdevsIn(kernel, group)],
        (name) => {
          const mdev = kernel.mdevs.all.get(name);
          if (mdev) return link(`../../../../devices/virtual/mdev/${mdev.parent}/${name}`);
          const fn = kernel.members(group).find(({ bdf }) => bdf === name);
          return fn && link(`../../../..${functionPath(kernel, fn).slice('/sys'.length)}`);
        },
      ),
    type: () => file(() => 'DMA-FQ\n'),
    reserved_regions: () => file(() => '0x00000000fee00000 0x00000000feefffff msi\n'),
  });
}

function mdevsIn({ mdevs }: Kernel, group: number): readonly string[] {
  return [...mdevs.all.values()]
    .filter(({ fn }) => fn.config.group === group)
    .map(({ uuid }) => uuid);
}

function iommuClass(kernel: Kernel): DirectoryNode {
  const kind = kernel.config.iommu ?? 'intel';
  if (kind === 'none') return directory({});
  const name = kind === 'intel' ? 'dmar0' : 'ivhd0';
  const subdirectory = kind === 'intel' ? 'intel-iommu' : 'amd-iommu';
  return directory({
    [name]: () => directory({ [subdirectory]: () => directory({ cap: () => file(() => '0\n') }) }),
  });
}

/** Links to what native drivers made of their functions. */
function classLinks(
  kernel: Kernel,
  subsystem: string,
  namesOf: (fn: PciFunction) => readonly string[],
): DirectoryNode {
  return listing(
    () => kernel.functions.flatMap(namesOf),
    (name) => {
      const fn = kernel.functions.find((owner) => namesOf(owner).includes(name));
      const path = fn && functionPath(kernel, fn).slice('/sys'.length);
      return path === undefined ? undefined : link(`../..${path}/${subsystem}/${name}`);
    },
  );
}

function vfioClass(kernel: Kernel): DirectoryNode {
  return listing(
    () => [...kernel.vfio.groupNodes.keys()].map(String),
    (name) => (kernel.vfio.groupNodes.has(Number(name)) ? directory({}) : undefined),
  );
}

function modules(kernel: Kernel): DirectoryNode {
  return listing(
    () => kernel.loadedModules,
    (module) =>
      kernel.loadedModules.has(module)
        ? directory({ parameters: () => parametersOf(kernel, module) })
        : undefined,
  );
}

/** Parameters that only root may change at run time; the others are read-only. */
const WRITABLE = /^vfio_iommu_type1\/|^vfio_pci\/enable_sriov$/;

function parametersOf(kernel: Kernel, module: string): DirectoryNode {
  const prefix = `${module}/`;
  return listing(
    () =>
      [...kernel.parameters.keys()]
        .filter((key) => key.startsWith(prefix))
        .map((key) => key.slice(prefix.length)),
    (name) => {
      const key = prefix + name;
      if (!kernel.parameters.has(key)) return undefined;
      const read = () => `${kernel.parameters.get(key) ?? ''}\n`;
      if (!WRITABLE.test(key)) return file(read);
      return setting(read, (data) => {
        kernel.parameters.set(key, data.trim());
      });
    },
  );
}
