import type { Guard } from './guard.js';

/** A TPM holds the host's own keys. */
export const tpmGuard: Guard = {
  subject: 'tpm',
  find: async (context, { bdf }) => {
    const [tpm] = await context.below('/sys/class/tpm', bdf);
    if (tpm === undefined) return [];
    return [
      {
        bdf,
        level: 'block',
        reason: 'in-use.tpm',
        evidence: `${tpm.name} is the host's TPM`,
        remedy: 'give the VM a software TPM instead',
      },
    ];
  },
};
