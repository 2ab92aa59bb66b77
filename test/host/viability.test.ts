import { describe, expect, it } from 'vitest';
import { readHostSnapshot } from '../../src/host/inventory.js';
import { findCulprits } from '../../src/host/viability.js';
import { toBdf } from '../../src/pci/pci-address.js';
import { HostTree } from './sysfs-tree.js';

const NIC = '0000:01:00.0';
const SIBLING = '0000:01:00.1';

describe('findCulprits', () => {
  it.each([undefined, 'vfio-pci', 'mlx5_vfio_pci', 'pci-stub', 'pcieport'])(
    'takes a sibling on %s for harmless',
    async (driver) => {
      using tree = new HostTree();
      tree.addFunction(NIC, { group: 6, driver: 'vfio-pci' });
      tree.addFunction(SIBLING, { group: 6, ...(driver === undefined ? {} : { driver }) });
      expect(findCulprits(await readHostSnapshot(tree.effects), 6)).toEqual([]);
    },
  );

  it.each(['e1000e', 'uio_pci_generic', 'pci-pf-stub', 'xen-pciback'])(
    'names a sibling on %s',
    async (driver) => {
      using tree = new HostTree();
      tree.addFunction(NIC, { group: 6, driver: 'vfio-pci' });
      tree.addFunction(SIBLING, { group: 6, driver });
      const [culprit] = findCulprits(await readHostSnapshot(tree.effects), 6);
      expect(culprit).toMatchObject({ name: SIBLING, bdf: SIBLING, driver });
      expect(culprit?.remedy).toContain(`echo ${SIBLING} >`);
    },
  );

  it('does not count what is about to be bound', async () => {
    using tree = new HostTree();
    tree.addFunction(NIC, { group: 6, driver: 'e1000e' });
    tree.addFunction(SIBLING, { group: 6, driver: 'e1000e' });
    const host = await readHostSnapshot(tree.effects);
    expect(findCulprits(host, 6, new Set([toBdf(NIC)]))).toMatchObject([{ name: SIBLING }]);
    expect(findCulprits(host, 6, new Set([toBdf(NIC), toBdf(SIBLING)]))).toEqual([]);
  });

  it('advises otherwise on a bridge, which nobody binds to vfio-pci', async () => {
    using tree = new HostTree();
    tree.addFunction('0000:00:01.0', { group: 6, class: '0x060400', driver: 'shpchp' });
    tree.addFunction(NIC, { group: 6, driver: 'vfio-pci' });
    const [culprit] = findCulprits(await readHostSnapshot(tree.effects), 6);
    expect(culprit).toMatchObject({ name: '0000:00:01.0', driver: 'shpchp' });
    expect(culprit?.remedy).not.toContain('--members group');
  });

  it('names members that are no PCI functions, and lets mdevs pass', async () => {
    using tree = new HostTree();
    tree.addFunction(NIC, { group: 6, driver: 'vfio-pci' });
    const uuid = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';
    tree.linkTo(`/sys/kernel/iommu_groups/6/devices/${uuid}`, `/sys/devices/virtual/mtty/${uuid}`);
    tree.linkTo('/sys/kernel/iommu_groups/6/devices/dma.0', '/sys/devices/platform/dma.0');
    expect(findCulprits(await readHostSnapshot(tree.effects), 6)).toMatchObject([
      { name: 'dma.0', bdf: undefined, driver: 'unknown' },
    ]);
  });

  it('does not take a member it could not see for harmless', async () => {
    using tree = new HostTree();
    tree.addFunction(NIC, { group: 6, driver: 'vfio-pci' });
    tree.linkTo(`/sys/kernel/iommu_groups/6/devices/${SIBLING}`, '/sys/devices/elsewhere');
    expect(findCulprits(await readHostSnapshot(tree.effects), 6)).toMatchObject([
      { name: SIBLING, driver: 'unknown' },
    ]);
  });
});
