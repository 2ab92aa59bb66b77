import { RefusedError } from '../../errors.js';
import type { Bdf } from '../../pci/pci-address.js';
import { isBridgeClass } from '../pci-function.js';
import { compareCandidates, type Candidate, type CandidateSet } from './candidate.js';
import type { SelectorRequest } from './request.js';

const NVIDIA = 0x10de;
const NVSWITCH = 0x0680;

/**
 * What comes along with the chosen devices, by policy `group` and `function-set` or by `include`. Bridges of a
 * group stay: VFIO needs none of them.
 *
 * @throws {RefusedError} `NO_IOMMU` where a group is asked for and there is none.
 */
export function expandMatches(
  request: SelectorRequest,
  chosen: readonly Candidate[],
  set: CandidateSet,
): readonly Candidate[] {
  const { policy, include } = request;
  const kind = policy.kind === 'group-by' ? policy.inner.kind : policy.kind;
  const wantsGroup = kind === 'group' || include.includes('group');
  const wantsSlot = kind === 'function-set' || include.includes('functions');
  const names = new Set<Bdf>();
  for (const candidate of chosen) {
    if (candidate.kind === 'mdev') continue;
    const { companions, iommuGroup } = candidate.record;
    if (wantsGroup && iommuGroup.known && iommuGroup.value === undefined) {
      throw new RefusedError('NO_IOMMU', `${candidate.name} is in no IOMMU group`, {
        remedy: 'switch the IOMMU on in the firmware and on the kernel command line',
        details: { device: candidate.name },
      });
    }
    if (!companions.known && (wantsGroup || wantsSlot)) {
      throw new RefusedError(
        'HOST_UNREADABLE',
        `What goes along with ${candidate.name} cannot be told: ${companions.reason}`,
        { details: { device: candidate.name }, remedy: 'name each function by its address' },
      );
    }
    if (!companions.known) continue;
    const { slot, consumers, group } = companions.value;
    if (wantsSlot) for (const each of [...slot, ...consumers]) names.add(each);
    if (wantsGroup) for (const each of group) names.add(each);
  }
  if (include.includes('nvswitch')) for (const each of nvswitches(set)) names.add(each);
  for (const { name } of chosen) names.delete(name as Bdf);
  return set.candidates
    .filter((each) => each.kind === 'pci' && names.has(each.name) && !isBridge(each, include))
    .sort(compareCandidates);
}

function isBridge(candidate: Candidate, include: SelectorRequest['include']): boolean {
  if (candidate.kind === 'mdev') return false;
  const { classCode } = candidate.record;
  if (!classCode.known) return false;
  return classCode.value >>> 8 === NVSWITCH
    ? !include.includes('nvswitch')
    : isBridgeClass(classCode.value);
}

function nvswitches({ records }: CandidateSet): readonly Bdf[] {
  return [...records.values()]
    .filter(
      ({ classCode, vendorId }) =>
        classCode.known &&
        classCode.value >>> 8 === NVSWITCH &&
        vendorId.known &&
        vendorId.value === NVIDIA,
    )
    .map(({ bdf }) => bdf);
}
