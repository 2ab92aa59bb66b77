import { describe, expect, it } from 'vitest';
import { CHECKS, runDoctor, type Finding } from '../../src/doctor/index.js';
import { readDocuments } from '../docs/documents.js';
import { DEVICE, Patient, type Change } from './patient.js';

/** A machine whose kernel makes no IOMMU groups, and whose processes and logs only root sees. */
const WITHOUT_IOMMU: Change = {
  files: {
    '/sys/class/iommu/dmar0/type': null,
    '/sys/firmware/acpi/tables/DMAR': null,
    '/sys/kernel/iommu_groups/17/type': null,
    '/sys/kernel/iommu_groups/17/reserved_regions': null,
  },
  tree: (tree) => {
    tree.remove('/sys/kernel/iommu_groups');
    tree.remove(`${tree.pathOf(DEVICE)}/iommu_group`);
  },
  nodes: { '/dev/vfio/vfio': null, '/dev/vfio/17': null, '/dev/iommu': null, '/dev/kvm': null },
  denied: ['/sys/kernel/security', '/sys/module/kvm/parameters', '/proc/1/fd'],
  request: { vm: undefined },
};

const lines = (findings: readonly Finding[]) =>
  findings
    .filter(({ verdict }) => verdict !== 'ok' && verdict !== 'skip')
    .map(({ id, verdict, why, remedy }) => `${verdict} ${id}: ${why} -> ${remedy ?? ''}`);

describe('on a machine without an IOMMU', () => {
  it('says so, what to do, and what it could not see', async () => {
    using patient = new Patient(WITHOUT_IOMMU);
    const findings = await patient.examine({ device: undefined });
    expect(lines(findings)).toMatchInlineSnapshot(`
      [
        "fail kvm.device: /dev/kvm is no device -> modprobe kvm_intel or kvm_amd; see cpu.virt",
        "unknown kvm.ignore_msrs: read /sys/module/kvm/parameters/ignore_msrs: EACCES -> run as root",
        "unknown kvm.report_ignored_msrs: read /sys/module/kvm/parameters/ignore_msrs: EACCES -> run as root",
        "fail iommu.firmware.intel: the firmware has no DMAR -> switch VT-d on in the firmware",
        "fail iommu.active: there are no IOMMU groups, so VFIO can take nothing -> set intel_iommu=on on the kernel command line, and switch VT-d on in the firmware",
        "fail vfio.container: it is not there -> modprobe vfio; in a container, pass /dev/vfio through",
        "unknown lockdown: read /sys/kernel/security/lockdown: EACCES -> run as root",
      ]
    `);
  });

  it('says of a device what is missing for it', async () => {
    using patient = new Patient(WITHOUT_IOMMU);
    const findings = await patient.examine({ only: ['dev'] });
    expect(lines(findings)).toMatchInlineSnapshot(`
      [
        "fail dev.group: it is in no IOMMU group -> see iommu.active: switch the IOMMU on",
      ]
    `);
  });
});

it('finds nothing wrong with a host on which all is well', async () => {
  using patient = new Patient();
  expect(lines(await patient.examine())).toEqual([]);
});

it('runs the checks of what is named, and no others', async () => {
  using patient = new Patient();
  const needs = async (request: Parameters<Patient['examine']>[0]) => {
    const found = new Set((await patient.examine(request)).map(({ id }) => id));
    return new Set(CHECKS.filter(({ id }) => found.has(id)).map((check) => check.needs));
  };
  expect(await needs({ vm: undefined, device: undefined })).toEqual(new Set(['host']));
  expect(await needs({ vm: undefined })).toEqual(new Set(['host', 'device']));
  expect(await needs({ device: undefined })).toEqual(new Set(['host', 'vm']));
  expect(await needs({})).toEqual(new Set(['host', 'vm', 'device', 'pair']));
});

it('takes ids, what they begin with, and globs', async () => {
  using patient = new Patient();
  const ids = async (only: readonly string[], skip?: readonly string[]) =>
    (await patient.examine({ device: undefined, vm: undefined, only, skip })).map(({ id }) => id);
  expect(await ids(['iommu.active'])).toEqual(['iommu.active']);
  expect(await ids(['iommu.firmware'])).toEqual([
    'iommu.firmware.intel',
    'iommu.firmware.amd',
    'iommu.firmware.arm',
    'iommu.firmware.s390',
  ]);
  expect(await ids(['iommu.*'], ['iommu.firmware', 'iommu.[iu]*'])).toEqual([
    'iommu.active',
    'iommu.cmdline',
    'iommu.configured_vs_running',
  ]);
});

it.each(['', 'frobnicate', '[', 'iommu.active.more'])('refuses the pattern %j', async (only) => {
  using patient = new Patient();
  await expect(runDoctor({ effects: patient.effects, only: [only] })).rejects.toMatchObject({
    code: 'BAD_ARGUMENT',
  });
});

it('is milder about ports where the device is given at the start of the VM', async () => {
  const bars = '0x0000010000000000 0x000001ffffffffff 0x000000000014220c';
  using patient = new Patient({ device: { resource: bars } });
  const verdictFor = async (profile: 'hotplug' | 'static') =>
    (await patient.examine({ profile, only: ['dev.bar'] })).map(({ verdict }) => verdict);
  expect(await verdictFor('hotplug')).toEqual(['fail']);
  expect(await verdictFor('static')).toEqual(['warn']);
});

it('has a line in the documentation for every check, and for no other', () => {
  const page = readDocuments().find(({ path }) => path === 'docs/doctor.md')?.text ?? '';
  const checks = page.slice(page.indexOf('## Checks'));
  const rows = checks.split('\n').flatMap((line) => {
    const [, id, about] = /^\| `([\w.]+)` +\| (.*?) +\|/.exec(line) ?? [];
    return id === undefined ? [] : [`${id}: ${about ?? ''}`];
  });
  expect(rows).toEqual(CHECKS.map(({ id, about }) => `${id}: ${about}`));
});
