import type { Guard } from './guard.js';

/** A bridge carries everything behind it; VFIO refuses its header type as well. */
export const bridgeGuard: Guard = {
  subject: 'bridge',
  find: async (_context, { bdf, bridge, classCode }) => {
    if (!bridge) return [];
    const kind = classCode >>> 8 === 0x0600 ? 'host bridge' : 'PCI-to-PCI bridge';
    return [
      {
        bdf,
        level: 'block',
        reason: 'in-use.bridge',
        evidence: `it is a ${kind} (class 0x${classCode.toString(16).padStart(6, '0')})`,
        remedy: 'name the device behind it',
      },
    ];
  },
};
