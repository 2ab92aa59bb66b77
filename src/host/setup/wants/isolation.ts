import { findArguments } from '../command-line.js';
import type { Refusal, Wish } from './wish.js';

/** What makes groups look separate that are not: kernel-parameters.txt, and the patch that adds the first. */
const WEAKENING = [
  'pcie_acs_override',
  'vfio_iommu_type1.allow_unsafe_interrupts',
  'vfio.enable_unsafe_noiommu_mode',
];

/** With `require`, nothing on the command line may weaken the isolation between groups. */
export const isolation: Wish = (desired, { kernelArguments: { configured } }) => {
  if (desired.isolation?.require !== true || !configured.known) return {};
  const { words } = configured.value;
  const refused = WEAKENING.flatMap((key): readonly Refusal[] => {
    const found = findArguments(words, key).at(-1);
    if (found === undefined || /^(0|n|N)$/.test(found.value ?? '')) return [];
    const reason = `${found.text} is configured: devices of different groups may reach each other`;
    return [
      {
        item: 'isolation',
        state: 'conflicting',
        reason,
        remedy: `remove ${found.text} where it is set`,
      },
    ];
  });
  return { refused };
};
