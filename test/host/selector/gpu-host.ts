import { HostTree } from '../sysfs-tree.js';

const GPU = { vendor: '0x10de', device: '0x2204', class: '0x030000' };
const SOUND = { vendor: '0x10de', device: '0x1aef', class: '0x040300' };
const PORT = { class: '0x060400', driver: 'pcieport' };
const BAR_16G = '0x0000002000000000 0x00000023ffffffff 0x000000000014220c';

export const MDEV = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';

/**
 * Two GPUs with their sound functions on two NUMA nodes, an NVSwitch, an NVMe behind VMD, a NIC with two VFs, and a
 * parent of a mediated device.
 */
export function gpuHost(order: 'forwards' | 'backwards' = 'forwards'): HostTree {
  const tree = new HostTree();
  const adding = [
    () => tree.addFunction('0000:00:01.0', { ...PORT, group: 1 }),
    () => tree.addFunction('0000:00:1f.0', { class: '0x060100', group: 20 }),
    () => gpu(tree, 0),
    () => gpu(tree, 1),
    () => {
      tree.addFunction('0000:41:00.0', {
        vendor: '0x10de',
        device: '0x1af1',
        class: '0x068000',
        group: 5,
      });
    },
    () => {
      tree.addFunction('10000:e1:00.0', {
        above: ['pci0000:00', '0000:00:0e.0', 'pci10000:e0'],
        class: '0x010802',
        driver: 'nvme',
        group: 6,
        numaNode: 0,
      });
      tree.addChild('10000:e1:00.0', 'nvme/nvme0', { serial: 'S4EV-77   ' });
    },
    () => {
      tree.addFunction('0000:05:00.0', { driver: 'igb', group: 7, totalVfs: 8, numaNode: 1 });
      tree.addFunction('0000:05:10.0', { group: 8, physfn: '0000:05:00.0', driver: 'vfio-pci' });
      tree.addFunction('0000:05:10.1', { group: 9, physfn: '0000:05:00.0' });
      tree.addChild('0000:05:00.0', 'net/eth0', {
        address: '00:1b:21:3c:5d:9e',
        addr_assign_type: '0',
      });
      tree.addChild('0000:05:10.1', 'net/eth1', {
        address: '9e:00:00:00:00:01',
        addr_assign_type: '1',
      });
    },
    () => {
      tree.addFunction('0000:06:00.0', {
        vendor: '0x8086',
        device: '0x3e92',
        class: '0x038000',
        group: 10,
      });
      const types = `${tree.pathOf('0000:06:00.0')}/mdev_supported_types/i915-GVTg_V5_4`;
      tree.file(`${types}/name`, 'GVTg_V5_4\n');
      tree.file(`${types}/available_instances`, '1\n');
      tree.file(`${types}/device_api`, 'vfio-pci\n');
      const path = `${tree.pathOf('0000:06:00.0')}/${MDEV}`;
      tree.linkTo(`/sys/bus/mdev/devices/${MDEV}`, path);
      tree.linkTo(`${path}/mdev_type`, types);
      tree.linkTo(`${path}/iommu_group`, '/sys/kernel/iommu_groups/11');
      tree.linkTo(`/sys/kernel/iommu_groups/11/devices/${MDEV}`, path);
    },
  ];
  if (order === 'backwards') adding.reverse();
  for (const add of adding) add();
  tree.file('/dev/vfio/vfio', '');
  return tree;
}

function gpu(tree: HostTree, index: 0 | 1): void {
  const bus = index === 0 ? '01' : '81';
  const above = ['pci0000:00', `0000:00:0${index + 1}.1`];
  const common = { above, group: 3 + index, numaNode: index };
  tree.addFunction(`0000:${bus}:00.0`, {
    ...GPU,
    ...common,
    resource: `${'0x0000000000000000 '.repeat(2)}0x0000000000000000\n${BAR_16G}`,
    resetMethod: 'flr bus',
  });
  tree.addFunction(`0000:${bus}:00.1`, { ...SOUND, ...common });
  const gpuPath = tree.pathOf(`0000:${bus}:00.0`);
  tree.linkTo(
    `${gpuPath}/consumer:pci:0000:${bus}:00.1`,
    `/sys/devices/virtual/devlink/pci:0000:${bus}:00.0--pci:0000:${bus}:00.1`,
  );
  tree.file(`${gpuPath}/max_link_speed`, '16.0 GT/s PCIe\n');
  tree.file(`${gpuPath}/max_link_width`, '16\n');
  tree.file(`/sys/bus/pci/slots/${3 + index}/address`, `0000:${bus}:00\n`);
}
