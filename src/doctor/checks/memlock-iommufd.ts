import { mayLockAnyMemory, readCredentials, parseCredentials } from '../../host/credentials.js';
import { planMemlock } from '../../host/memlock.js';
import { listProcesses, readCommand } from '../../host/process.js';
import { ifPresent } from '../../host/reading.js';
import { formatSize } from '../../pci/size.js';
import { memlockNeed } from '../../plan/plan-attach.js';
import type { HostReads, VmCheck } from '../check.js';
import { fail, ok, seen, skip, unknownAnswer, warn } from '../finding.js';

/**
 * iommufd counts what is pinned by user and not by process (Linux drivers/iommu/iommufd/pages.c,
 * iopt_pages_rlimit_mode, 6.12): all VMs of one user share the limit.
 */
export const memlockIommufd: VmCheck = {
  id: 'mem.memlock.iommufd',
  about: 'whether the limit also holds for iommufd, which counts all VMs of a user together',
  needs: 'vm',
  async run(reads) {
    const { effects, vm, vmmPid } = reads;
    const object = [...vm.objects].find(([, type]) => type === 'iommufd');
    if (object === undefined) return skip('the VM uses no iommufd');
    const who = await readCredentials(effects, vmmPid);
    const read = seen('objects of the VM', `${object[0]}: iommufd`);
    if (mayLockAnyMemory(who)) return ok('QEMU may lock any memory', read);
    const need = memlockNeed(vm, 1);
    if (need === undefined) return unknownAnswer('QEMU does not tell how much RAM the VM has');
    const limits = `/proc/${vmmPid}/limits`;
    const raise = await planMemlock(effects, vmmPid, BigInt(need));
    if (raise !== undefined) {
      const before = seen(limits, `Max locked memory ${raise.before.soft ?? 'unlimited'}`);
      const remedy = `prlimit --pid ${vmmPid} --memlock=${need}, or LimitMEMLOCK= in its unit`;
      return fail(`${formatSize(BigInt(need))} have to be locked`, remedy, read, before);
    }
    const { soft } = await effects.readMemlock(vmmPid);
    if (soft === undefined) return ok('there is no limit', read, seen(limits, 'unlimited'));
    const others = await findOtherVms(reads, who.uid);
    return others.length === 0
      ? ok('the only VM of its user', read)
      : warn(
          `${others.join(', ')} count against the same limit`,
          `set LimitMEMLOCK= of uid ${who.uid} for all of them together, or infinity`,
          read,
          seen(limits, `Max locked memory ${soft}`),
        );
  },
};

/** Other processes of the user that look like a VMM. */
async function findOtherVms(
  { effects, vmmPid }: HostReads,
  uid: number,
): Promise<readonly string[]> {
  const found: string[] = [];
  for (const pid of await listProcesses(effects)) {
    if (pid === vmmPid) continue;
    const command = await readCommand(effects, pid);
    if (!/^qemu/.test(command)) continue;
    const status = await ifPresent(effects.read(`/proc/${pid}/status`));
    const owner = status === undefined ? undefined : parseCredentials(status);
    if (owner?.uid === uid) found.push(`${command} (pid ${pid})`);
  }
  return found;
}
