import { describe, expect, it } from 'vitest';
import { renderFindings } from '../../src/cli/render-findings.js';
import type { Finding } from '../../src/doctor/index.js';
import { AMD, DEVICE, Patient, PID, type Change } from './patient.js';

/** A machine whose firmware and kernel have no IOMMU. The kernel keeps the directory of groups, empty. */
const WITHOUT_IOMMU: Change = {
  files: {
    '/sys/class/iommu/dmar0/type': null,
    '/sys/firmware/acpi/tables/DMAR': null,
    '/sys/kernel/iommu_groups/17/type': null,
    '/sys/kernel/iommu_groups/17/reserved_regions': null,
  },
  tree: (tree) => {
    tree.remove('/sys/kernel/iommu_groups');
    tree.directory('/sys/kernel/iommu_groups');
    tree.remove(`${tree.pathOf(DEVICE)}/iommu_group`);
    tree.addChild(DEVICE, 'drm/card0');
  },
  nodes: { '/dev/vfio/vfio': null, '/dev/vfio/17': null, '/dev/iommu': null, '/dev/kvm': null },
  device: { driver: 'nvidia' },
  request: { vm: undefined },
};

/** What the kernel shows to root alone: other users' processes, logs and tables of the firmware. */
const UNPRIVILEGED: Change = {
  ...WITHOUT_IOMMU,
  denied: [
    `/proc/${PID}/fd`,
    '/sys/kernel/security',
    '/sys/module/kvm/parameters',
    '/sys/firmware/acpi/tables/data',
  ],
};

const of = (findings: readonly Finding[], id: string) => findings.find((each) => each.id === id);
const text = (words: string) => expect.stringContaining(words) as unknown;

describe('on a machine without an IOMMU', () => {
  it('root is told so, and what to do', async () => {
    using patient = new Patient(WITHOUT_IOMMU);
    const findings = await patient.examine();
    expect(of(findings, 'iommu.active')).toMatchObject({
      verdict: 'fail',
      remedy: text('intel_iommu=on'),
    });
    expect(of(findings, 'dev.group')).toMatchObject({ verdict: 'fail', remedy: text('iommu') });
    await expect(renderFindings(findings, true)).toMatchFileSnapshot('golden/no-iommu.txt');
  });

  it('everybody else is told the same, and what only root could read is unknown', async () => {
    using patient = new Patient(UNPRIVILEGED);
    const findings = await patient.examine();
    expect(of(findings, 'iommu.active')).toMatchObject({ verdict: 'fail' });
    const output = renderFindings(findings, true);
    await expect(output).toMatchFileSnapshot('golden/no-iommu-unprivileged.txt');

    using asRoot = new Patient(WITHOUT_IOMMU);
    const all = await asRoot.examine();
    const others = findings.filter(({ id, verdict }) => of(all, id)?.verdict !== verdict);
    expect(others.length).toBeGreaterThan(0);
    expect(new Set(others.map(({ verdict }) => verdict))).toEqual(new Set(['unknown']));
    for (const { remedy } of others) expect(remedy).toContain('root');
  });

  it('nobody with an AMD processor is told to set an argument: none switches it on', async () => {
    const files = { ...WITHOUT_IOMMU.files, '/proc/cpuinfo': AMD };
    using patient = new Patient({ ...WITHOUT_IOMMU, files });
    const findings = await patient.examine({ only: ['iommu'] });
    expect(of(findings, 'iommu.active')).toMatchObject({ verdict: 'fail', remedy: text('AMD-Vi') });
    for (const { remedy = '' } of findings) {
      expect(remedy.replace(/remove .*/, '')).not.toMatch(/iommu=/);
    }
  });
});
