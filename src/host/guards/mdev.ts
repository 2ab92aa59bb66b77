import type { Guard } from './guard.js';

/** A parent of mediated devices: they go with it. */
export const mdevGuard: Guard = {
  subject: 'mdev',
  find: async (context, { bdf }) => {
    const mdevs = await context.below('/sys/bus/mdev/devices', bdf);
    if (mdevs.length === 0) return [];
    return [
      {
        bdf,
        level: 'block',
        reason: 'in-use.mdev',
        evidence: `mediated devices are made of it: ${mdevs.map(({ name }) => name).join(', ')}`,
        remedy: 'remove them first: qmplug host mdev remove UUID, or whoever made them',
      },
    ];
  },
};
