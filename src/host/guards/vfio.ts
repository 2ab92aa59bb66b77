import { readGroupHolders } from '../holders.js';
import { unreadable, type Guard } from './guard.js';

/** The function's group or cdev is open in some process other than the VM's own QEMU. */
export const vfioGuard: Guard = {
  subject: 'vfio',
  find: async ({ effects, devices, files, vmPid }, { bdf, iommuGroup }) => {
    if (iommuGroup === undefined) return [];
    const cdevs = [...devices.values()]
      .filter((device) => device.iommuGroup === iommuGroup)
      .map((device) => device.vfioCdev)
      .filter((name) => name !== undefined);
    const holders = await readGroupHolders(effects, iommuGroup, { cdevs, files });
    if (!holders.known) return [unreadable(bdf, 'vfio', holders.reason)];
    return holders.value
      .filter(({ pid }) => pid !== vmPid)
      .map(({ pid, command, node }) => ({
        bdf,
        level: 'block',
        reason: 'in-use.vfio',
        evidence: `${node} is open in ${command} (pid ${pid})`,
        remedy: `detach the device from that VM, or end process ${pid}`,
      }));
  },
};
