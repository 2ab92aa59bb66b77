import { runDoctor } from '../doctor/index.js';
import type { HostEffects } from '../index.js';

/** Something without which no device of this host can go to a VM. */
export interface MissingNeed {
  readonly need: 'iommu' | 'vfio-pci' | 'vfio-node';
  readonly evidence: string;
  readonly remedy: string;
}

/** The doctor's checks that tell of it. */
const NEEDS = {
  'iommu.active': 'iommu',
  'vfio.modules': 'vfio-pci',
  'vfio.container': 'vfio-node',
} as const satisfies Readonly<Record<string, MissingNeed['need']>>;

/** What the host lacks for VFIO, or may lack as far as can be told; empty where devices can be given away. */
export async function findMissing(effects: HostEffects): Promise<readonly MissingNeed[]> {
  const findings = await runDoctor({ effects, only: Object.keys(NEEDS) });
  return findings
    .filter(({ verdict }) => verdict === 'fail' || verdict === 'unknown')
    .map(({ id, why, remedy }) => ({
      // No other checks were run.
      need: NEEDS[id as keyof typeof NEEDS],
      evidence: why,
      remedy: remedy ?? `see what was looked at: qmplug doctor --only ${id}`,
    }));
}
