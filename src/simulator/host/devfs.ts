import type { Kernel } from './kernel.js';
import {
  directory,
  listing,
  type DirectoryNode,
  type Node,
  type SpecialNode,
} from './node-tree.js';
import type { DeviceNode } from './vfio.js';

/** `/dev`, as far as VFIO is concerned. */
export function devfs(kernel: Kernel): DirectoryNode {
  return listing(
    () => ['kmsg', 'vfio', ...(kernel.config.cdev === true ? ['iommu'] : [])],
    (name) => {
      if (name === 'kmsg') return { kind: 'file', mode: 0o644, read: () => kernel.log.text };
      if (name === 'iommu' && kernel.config.cdev === true) return special(kernel.nodes.iommu);
      return name === 'vfio' && kernel.loadedModules.has('vfio')
        ? vfioDirectory(kernel)
        : undefined;
    },
  );
}

function vfioDirectory(kernel: Kernel): DirectoryNode {
  const { groupNodes } = kernel.vfio;
  return listing(
    () => [
      'vfio',
      ...[...groupNodes.keys()].map(String),
      ...(kernel.config.cdev === true ? ['devices'] : []),
    ],
    (name) => {
      if (name === 'vfio') return special(kernel.nodes.control);
      if (name === 'devices' && kernel.config.cdev === true) return cdevDirectory(kernel);
      const node = /^\d+$/.test(name) ? groupNodes.get(Number(name)) : undefined;
      return node && special(node);
    },
  );
}

function cdevDirectory(kernel: Kernel): DirectoryNode {
  const entries = [...kernel.vfio.cdevNodes].map(([index, node]): [string, () => Node] => [
    `vfio${index}`,
    () => special(node),
  ]);
  return directory(Object.fromEntries(entries));
}

function special(node: DeviceNode): SpecialNode {
  const { major, minor, inode } = node;
  return { kind: 'special', what: 'character', rdev: { major, minor }, inode, owner: node };
}
