import type { VmCheck } from '../check.js';
import { ok, seen, warn } from '../finding.js';

/** Give memory of a running VM back to the host, or take more: what VFIO pins stays. */
const TYPES = /^virtio-(balloon|mem)-(pci|ccw|device)/;

export const balloon: VmCheck = {
  id: 'mem.balloon',
  about: 'whether the VM has a balloon or virtio-mem, which pinned memory defeats',
  needs: 'vm',
  async run({ vm }) {
    const found = vm.devices.filter(({ type }) => TYPES.test(type));
    const read = found.map(({ path, type }) => seen(path, type));
    return found.length === 0
      ? ok('none', seen('devices of the VM', 'no balloon'))
      : warn(
          `${found.map(({ id, type }) => id ?? type).join(', ')}: all RAM stays pinned with a device in the VM`,
          'leave it out of the VM, or do not count on the memory it gives back',
          ...read,
        );
  },
};
