import { expect, it } from 'vitest';
import { CHECKS, runDoctor, type Finding } from '../../src/doctor/index.js';
import { readDocuments } from '../docs/documents.js';
import { Patient } from './patient.js';

const lines = (findings: readonly Finding[]) =>
  findings
    .filter(({ verdict }) => verdict !== 'ok' && verdict !== 'skip')
    .map(({ id, verdict, why, remedy }) => `${verdict} ${id}: ${why} -> ${remedy ?? ''}`);

it('sends the reader of a VM without an IOMMU to its host', async () => {
  using patient = new Patient({
    tree: (tree) => tree.remove('/sys/kernel/iommu_groups'),
    files: {
      '/proc/cpuinfo': 'vendor_id\t: AuthenticAMD\nflags\t\t: fpu svm hypervisor\n',
      '/sys/kernel/iommu_groups/17/type': null,
      '/sys/kernel/iommu_groups/17/reserved_regions': null,
    },
  });
  const [finding] = await patient.examine({ only: ['iommu.active'] });
  expect(finding?.remedy).toMatch(/firmware.*; this is a VM: its host has to give it an IOMMU/);
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
