import type { HostDevice } from '../../types.js';
import { effectiveArgument, findArguments, type KernelArgument } from '../command-line.js';
import type { SetupFacts } from '../facts.js';
import type { ArgumentWish, Effect, Refusal, Wish, Wishes } from './wish.js';

const ITEM = 'iommu';

/** Values that switch the translation off: kernel Documentation/admin-guide/kernel-parameters.txt (6.12). */
export const IOMMU_OFF: Readonly<Record<string, readonly string[]>> = {
  intel_iommu: ['off'],
  amd_iommu: ['off'],
  iommu: ['off', 'soft', 'noforce'],
};

/**
 * Translation that works, told by its effect. AMD needs no argument at all; Intel one only where the firmware
 * has the tables and the kernel still made no groups. `pt` and `strict` are the user's trade-offs.
 */
export const iommu: Wish = (desired, facts) => {
  const { mode = 'keep' } = desired.iommu ?? {};
  if (mode === 'keep') return {};
  if (facts.architecture !== 'x86_64' && facts.architecture !== 'i686')
    return elsewhere(mode, facts);
  const switchedOff = contradictions(facts);
  const translation = switchedOff.length > 0 ? { refused: switchedOff } : enable(facts);
  return {
    ...translation,
    arguments: [...(translation.arguments ?? []), ...modeArguments(mode)],
    notes: [...(translation.notes ?? []), ...usefulNotes(facts)],
  };
};

function enable(facts: SetupFacts): Wishes {
  const { groupCount, dmar, ivrs } = facts.iommu;
  const asked: readonly ArgumentWish[] = [{ item: ITEM, key: 'intel_iommu', value: 'on' }];
  // An image runs on hosts of both vendors, and the argument is without effect on the other's.
  if (!facts.isMachine) return { arguments: asked };
  if (!groupCount.known) return { refused: [unreadable(groupCount.reason)] };
  const isConfigured = facts.kernelArguments.configured.known
    ? effectiveArgument(facts.kernelArguments.configured.value.words, 'intel_iommu')?.value === 'on'
    : false;
  const graphics = integratedGraphics(facts);
  const what = graphics === undefined ? 'IOMMU groups' : `IOMMU group for ${graphics.bdf}`;
  const holds = graphics === undefined ? groupCount.value > 0 : graphics.iommuGroup !== undefined;
  // Once it works by the argument, the argument has to stay.
  if (isConfigured && (dmar || groupCount.value > 0)) {
    return { arguments: asked, effects: [groupsEffect(what, holds, facts)] };
  }
  if (holds) {
    return { satisfied: [{ item: ITEM, by: `the kernel has ${groupCount.value} IOMMU groups` }] };
  }
  if (dmar || graphics !== undefined) {
    return { arguments: asked, effects: [groupsEffect(what, holds, facts)] };
  }
  const reason = ivrs
    ? 'the firmware has an AMD IOMMU, but the kernel made no groups'
    : 'no IOMMU groups, and the firmware has neither a DMAR nor an IVRS table';
  const remedy = ivrs
    ? 'see what the kernel says of it: dmesg | grep AMD-Vi'
    : 'switch VT-d or AMD-Vi (IOMMU) on in the firmware set-up';
  return { refused: [{ item: ITEM, state: 'unmet', reason, remedy }] };
}

/**
 * A processor's own graphics among the early devices, always 0000:00:02.0. Kernels that translate by default leave it
 * out (INTEL_IOMMU_DEFAULT_ON_INTGPU_OFF, drivers/iommu/intel/Kconfig, 6.12; Debian's are built so).
 */
function integratedGraphics({ devices }: SetupFacts): HostDevice | undefined {
  return [...devices.values()]
    .flatMap((device) => (device.known ? [device.value] : []))
    .find(
      ({ bdf, vendorId, classCode }) =>
        bdf === '0000:00:02.0' && vendorId === 0x8086 && classCode >> 16 === 0x03,
    );
}

/** The argument is a means: what counts are the groups that the kernel makes. */
function groupsEffect(what: string, holds: boolean, { running }: SetupFacts): Effect {
  const runs =
    running.known && effectiveArgument(running.value, 'intel_iommu')?.value?.startsWith('on');
  const text = `the kernel made no ${what}`;
  return {
    item: 'iommu.groups',
    subject: '/sys/kernel/iommu_groups',
    from: [ITEM],
    holds,
    otherwise: runs === true ? 'unmet' : 'pending-reboot',
    reason: runs === true ? `${text} although it runs with intel_iommu=on` : `${text} yet`,
    remedy: runs === true ? 'see what it says of it: dmesg | grep -i DMAR' : 'reboot',
  };
}

function modeArguments(mode: 'on' | 'pt' | 'strict'): readonly ArgumentWish[] {
  if (mode === 'pt') return [{ item: 'iommu.mode', key: 'iommu', value: 'pt' }];
  if (mode === 'strict') {
    return [
      { item: 'iommu.mode', key: 'iommu.passthrough', value: '0' },
      { item: 'iommu.mode', key: 'iommu.strict', value: '1' },
    ];
  }
  return [];
}

/** Other architectures have no vendor's argument; the generic ones are theirs too. */
function elsewhere(mode: 'on' | 'pt' | 'strict', facts: SetupFacts): Wishes {
  const { groupCount } = facts.iommu;
  const generic =
    mode === 'pt'
      ? [{ item: 'iommu.mode', key: 'iommu.passthrough', value: '1' }]
      : modeArguments(mode).filter(({ key }) => key !== 'iommu');
  if (!facts.isMachine) return { arguments: generic };
  if (!groupCount.known) return { refused: [unreadable(groupCount.reason)], arguments: generic };
  if (groupCount.value > 0) {
    const by = `the kernel has ${groupCount.value} IOMMU groups`;
    return { satisfied: [{ item: ITEM, by }], arguments: generic };
  }
  const reason = `no IOMMU groups, and ${facts.architecture} has no kernel argument that makes them`;
  const remedy = 'switch the IOMMU (SMMU) on in the firmware';
  return { refused: [{ item: ITEM, state: 'unmet', reason, remedy }], arguments: generic };
}

function contradictions({ running, kernelArguments }: SetupFacts): readonly Refusal[] {
  const { configured } = kernelArguments;
  // What only runs and is no longer configured ends with the next boot.
  const lines: readonly (readonly [string, readonly KernelArgument[]])[] = configured.known
    ? [['configured', configured.value.words]]
    : running.known
      ? [['running', running.value]]
      : [];
  for (const [where, line] of lines) {
    for (const [key, offValues] of Object.entries(IOMMU_OFF)) {
      const found = findArguments(line, key).find(({ value = '' }) =>
        value.split(',').some((part) => offValues.includes(part)),
      );
      if (found === undefined) continue;
      const reason = `${found.text} is ${where}: it switches the IOMMU off`;
      const remedy = `find who sets it, and remove ${found.text} there`;
      return [{ item: ITEM, state: 'conflicting', reason, remedy }];
    }
  }
  return [];
}

function usefulNotes({ running }: SetupFacts) {
  if (!running.known) return [];
  const useless = findArguments(running.value, 'amd_iommu').find(({ value }) => value === 'on');
  return useless === undefined
    ? []
    : [{ item: ITEM, text: 'amd_iommu=on is no option of the kernel; it is ignored and may go' }];
}

function unreadable(reason: string): Refusal {
  return { item: ITEM, state: 'unknown', reason, remedy: 'run on the host itself, as root' };
}
