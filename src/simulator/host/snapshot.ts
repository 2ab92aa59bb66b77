import type { Kernel } from './kernel.js';
import type { PciFunction } from './pci-function.js';

/**
 * Everything on the host that an attach and a detach may change and must put back, one line per
 * fact, in a fixed order: equal texts mean a restored host. Loaded modules are left out, they
 * stay by design; so are inodes, which are new each time a node appears.
 */
export function snapshotKernel(kernel: Kernel): string {
  const lines = kernel.functions.map(functionLine);
  for (const driver of kernel.drivers.values()) {
    for (const id of [...driver.dynamicIds].sort()) {
      lines.push(`driver ${driver.name} new_id=${id}`);
    }
  }
  for (const { uuid, parent, type } of kernel.mdevs.all.values()) {
    lines.push(`mdev ${uuid} parent=${parent} type=${type}`);
  }
  const owned = (node: { uid: number; gid: number; mode: number }) =>
    `${node.uid}:${node.gid} ${node.mode.toString(8).padStart(4, '0')}`;
  for (const [group, node] of sorted(kernel.vfio.groupNodes)) {
    const holder = kernel.vfio.ownerOf(group);
    lines.push(`/dev/vfio/${group} ${owned(node)} holder=${holder ?? '-'}`);
  }
  for (const [index, node] of sorted(kernel.vfio.cdevNodes)) {
    lines.push(`/dev/vfio/devices/vfio${index} ${owned(node)}`);
  }
  lines.push(`/dev/vfio/vfio ${owned(kernel.nodes.control)}`);
  lines.push(`/dev/iommu ${owned(kernel.nodes.iommu)}`);
  for (const [key, value] of [...kernel.parameters].sort()) lines.push(`module ${key}=${value}`);
  for (const { pid, command, memlock, lockedBytes, pinnedBytes } of kernel.processes.all()) {
    // Controllers come and go; what they leave behind is in the lines above.
    if (!command.startsWith('qemu')) continue;
    const limit = `${memlock.soft ?? 'unlimited'}/${memlock.hard ?? 'unlimited'}`;
    const pinned = pinnedBytes === 0n ? '' : ` pinned=${pinnedBytes}`;
    lines.push(`process ${pid} memlock=${limit} locked=${lockedBytes}${pinned}`);
  }
  return `${lines.join('\n')}\n`;
}

function functionLine(fn: PciFunction): string {
  const parts = [
    `driver=${fn.driver ?? '-'}`,
    `override=${fn.driverOverride ?? '-'}`,
    `opened=${fn.openedBy ?? '-'}`,
    `reset=${fn.settings.resetMethod || '-'}`,
    `power=${fn.settings.powerControl}`,
    `d3cold=${fn.settings.d3coldAllowed}`,
  ];
  if (fn.sriov) parts.push(`vfs=${fn.sriov.numVfs}`, `autoprobe=${fn.sriov.autoprobe ? 1 : 0}`);
  for (const vf of fn.sriov?.settings ?? []) {
    parts.push(`vf${vf.index}=${vf.mac}/${vf.vlan}/${vf.trust}/${vf.spoofCheck}`);
  }
  if (fn.vgpuType !== '0') parts.push(`vgpu=${fn.vgpuType}`);
  return `${fn.bdf} ${parts.join(' ')}`;
}

function sorted<T>(map: ReadonlyMap<number, T>): [number, T][] {
  return [...map].sort(([a], [b]) => a - b);
}
