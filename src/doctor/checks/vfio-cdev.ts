import { exists, listOrNone } from '../../host/reading.js';
import type { HostCheck } from '../check.js';
import { fail, ok, seen } from '../finding.js';

const CDEVS = '/dev/vfio/devices';
const IOMMUFD = '/dev/iommu';

export const vfioCdev: HostCheck = {
  id: 'vfio.cdev',
  about: 'whether the kernel gives each VFIO device a node of its own, where a VM uses iommufd',
  needs: 'host',
  async run({ effects, vm }) {
    const nodes = await listOrNone(effects, CDEVS);
    const hasIommufd = await exists(effects, IOMMUFD);
    const read = [
      seen(CDEVS, nodes.join(', ') || 'nothing'),
      seen(IOMMUFD, hasIommufd ? 'present' : 'absent'),
    ];
    const wants = [...(vm?.objects ?? [])].find(([, type]) => type === 'iommufd')?.[0];
    if (hasIommufd) {
      return ok(nodes.length > 0 ? `${nodes.length} device nodes` : 'no device is bound', ...read);
    }
    return wants === undefined
      ? ok('none: devices go by the node of their group', ...read)
      : fail(
          `the VM has the iommufd object ${wants}, and the kernel no iommufd`,
          'boot a kernel with CONFIG_IOMMUFD and CONFIG_VFIO_DEVICE_CDEV, or leave the object out',
          ...read,
        );
  },
};
