import { describe, expect, it } from 'vitest';
import { applyHost, planHost, readDesiredState } from '../../../src/host/setup/index.js';
import { type Tree } from './planning.js';
import * as trees from './stand-ins.js';
import { HostTree } from './tree.js';

describe('image systems', () => {
  const image: Tree = { ...trees.silverblue, ...trees.pciDevice('0000:01:00.0') };
  const byIds = readDesiredState({ early: [{ device: '0000:01:00.0', method: 'ids' }] });

  it('no initramfs is made, enabled or written for, the second time neither', async () => {
    using host = new HostTree(image);
    await applyHost(host.environment(), byIds);
    await applyHost(host.environment(), byIds);
    expect(host.calls().filter((call) => !call.startsWith('rpm-ostree '))).toEqual([]);
    expect(host.calls()).toHaveLength(1);
    expect(host.read('/etc/dracut.conf.d/90-qmplug.conf')).toBeUndefined();
  });

  it('says that the modules are missing from the image, and stops there', async () => {
    const lacking = { ...image, '/boot/initramfs-6.1.0-50-amd64.img': 'usr/lib/systemd/systemd\n' };
    using host = new HostTree(lacking);
    const made = await planHost(host.environment(), byIds);
    expect(made.items.find(({ id }) => id === 'initramfs')).toMatchObject({
      state: 'unmet',
      reason: expect.stringContaining(
        'missing from the image: vfio, vfio_iommu_type1, vfio_pci',
      ) as string,
    });
  });
});
