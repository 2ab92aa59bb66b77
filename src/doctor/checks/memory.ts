import { planMemlock } from '../../host/memlock.js';
import { ifPresent } from '../../host/reading.js';
import { formatSize } from '../../pci/size.js';
import { memlockNeed } from '../../plan/plan-attach.js';
import type { VmSnapshot } from '../../vm/types.js';
import type { HostCheck, Subject, VmCheck } from '../check.js';
import { fail, ok, seen, skip, unknownAnswer, warn } from '../finding.js';
import { kibibytes } from '../read-kibibytes.js';
import { balloon } from './balloon.js';
import { hugepages } from './hugepages.js';
import { memlockIommufd } from './memlock-iommufd.js';

const memlock: VmCheck = {
  id: 'mem.memlock',
  about: 'whether QEMU may lock the memory of a VM with one more device',
  needs: 'vm',
  async run({ effects, vm, vmmPid }) {
    const need = memlockNeed(vm, 1);
    if (need === undefined) return unknownAnswer('QEMU does not tell how much RAM the VM has');
    const raise = await planMemlock(effects, vmmPid, BigInt(need));
    const path = `/proc/${vmmPid}/limits`;
    const size = formatSize(BigInt(need));
    if (raise === undefined) return ok(`${size} may be locked`, seen(path, 'enough'));
    const { soft } = raise.before;
    return fail(
      `${size} have to be locked`,
      `prlimit --pid ${vmmPid} --memlock=${need}, or LimitMEMLOCK= in its unit`,
      seen(path, `Max locked memory ${soft ?? 'unlimited'}`),
    );
  },
};

const GIB = 1n << 30n;

const free: VmCheck = {
  id: 'mem.free',
  about: 'whether what a first device pins of the RAM is free',
  needs: 'vm',
  async run({ effects, vm, vmmPid }) {
    if (!vm.ramBytes.known) return unknownAnswer(vm.ramBytes.reason);
    const status = await effects.read(`/proc/${vmmPid}/status`);
    const resident = kibibytes(status, 'VmRSS');
    const available = kibibytes(await effects.read('/proc/meminfo'), 'MemAvailable');
    if (resident === undefined || available === undefined) {
      return unknownAnswer('VmRSS or MemAvailable is not told');
    }
    const held = resident + (kibibytes(status, 'HugetlbPages') ?? 0n);
    const need = vm.ramBytes.value > held ? vm.ramBytes.value - held : 0n;
    const read = [
      seen('/proc/meminfo', `MemAvailable ${formatSize(available)}`),
      seen(`/proc/${vmmPid}/status`, `resident ${formatSize(held)}`),
    ];
    const remedy = 'free memory of the host, or give the VM less: -m';
    if (available < need) {
      return fail(`${formatSize(need)} will be pinned, and are not free`, remedy, ...read);
    }
    return available < need + GIB
      ? warn(`after ${formatSize(need)} are pinned less than 1 GiB is left`, remedy, ...read)
      : ok(`${formatSize(need)} will be pinned`, ...read);
  },
};

/** Linux drivers/vfio/vfio_iommu_type1.c, dma_entry_limit (6.12). */
const DEFAULT_LIMIT = 65_535;

/** Each memory backend takes one mapping at least, and a VM without one has RAM all the same. */
function regionCount({ objects }: VmSnapshot): number {
  return Math.max(1, [...objects.values()].filter((type) => /^memory-backend-/.test(type)).length);
}

const dmaEntries: HostCheck = {
  id: 'mem.dma_entry_limit',
  about: 'whether VFIO allows as many mappings as a VM needs',
  needs: 'host',
  async run({ effects, vm }) {
    const path = '/sys/module/vfio_iommu_type1/parameters/dma_entry_limit';
    const text = (await ifPresent(effects.read(path)))?.trim();
    if (text === undefined) return skip('vfio_iommu_type1 is not loaded', seen(path, 'absent'));
    const read = seen(path, text);
    const remedy = `set vfio_iommu_type1.dma_entry_limit=${DEFAULT_LIMIT}`;
    const regions = vm === undefined ? 1 : regionCount(vm);
    if (Number(text) < regions) {
      const why = `${regions} mappings are needed at least, and ${text} allowed`;
      return fail(why, remedy, read);
    }
    const sparse = vm?.devices.find(({ type }) => /^virtio-mem-/.test(type));
    if (sparse !== undefined) {
      return warn(
        `${sparse.id ?? sparse.type} is mapped block by block: ${text} mappings may be too few`,
        'give it larger blocks (block-size=), or raise vfio_iommu_type1.dma_entry_limit',
        read,
        seen(sparse.path, sparse.type),
      );
    }
    return Number(text) >= DEFAULT_LIMIT
      ? ok(`${text} mappings`, read)
      : warn(`fewer mappings than the kernel's ${DEFAULT_LIMIT}`, remedy, read);
  },
};

export const memorySubject: Subject = {
  name: 'memory',
  checks: [memlock, memlockIommufd, free, hugepages, dmaEntries, balloon],
};
