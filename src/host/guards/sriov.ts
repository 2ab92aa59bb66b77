import type { Guard } from './guard.js';

/** A PF whose VFs exist: its driver serves them, and vfio-pci answers EBUSY to it. */
export const sriovGuard: Guard = {
  subject: 'sriov',
  find: async ({ devices }, { bdf, vfCount }) => {
    if (vfCount === 0) return [];
    const vfs = [...devices.values()].filter((device) => device.physfn === bdf);
    const named = vfs.map((vf) => `${vf.bdf} (${vf.driver ?? 'no driver'})`).join(', ');
    return [
      {
        bdf,
        level: 'block',
        reason: 'in-use.sriov',
        evidence: `${vfCount} virtual functions are enabled${named === '' ? '' : `: ${named}`}`,
        remedy:
          'attach a virtual function instead, or, when none is used: ' +
          `echo 0 > /sys/bus/pci/devices/${bdf}/sriov_numvfs`,
      },
    ];
  },
};
