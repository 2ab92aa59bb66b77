import { describe, expect, it } from 'vitest';
import { applyHost, readDesiredState } from '../../../src/host/setup/index.js';
import { plan, stateOf, wantedText, type Tree } from './planning.js';
import * as trees from './stand-ins.js';
import { HostTree } from './tree.js';

/** The kernel keeps the directory, empty. */
const withoutGroups = (tree: Tree): Tree => ({
  ...without(tree, '/sys/kernel/iommu_groups/'),
  '/sys/kernel/iommu_groups': { directory: true },
});

const without = (tree: Tree, start: string): Tree =>
  Object.fromEntries(Object.entries(tree).filter(([path]) => !path.startsWith(start)));

describe('amd_iommu=on is no option', () => {
  it.each(['on', 'pt', 'strict'])('is never written for iommu.mode %s', async (mode) => {
    const amd = {
      ...trees.debian,
      '/sys/firmware/acpi/tables/IVRS': '',
      '/proc/cpuinfo': 'vendor_id : AuthenticAMD\n',
    };
    expect(wantedText(await plan(amd, { iommu: { mode } }))).not.toContain('amd_iommu');
  });

  it.each(['on', 'pt', 'strict'])(
    'is not written either where the kernel made no groups: %s',
    async (mode) => {
      const amd = {
        ...without(withoutGroups(trees.debian), '/sys/firmware/acpi/'),
        '/sys/firmware/acpi/tables/IVRS': '',
      };
      const made = await plan(amd, { iommu: { mode } });
      expect(wantedText(made)).not.toContain('amd_iommu');
      expect(made.items.find(({ id }) => id === 'iommu')).toMatchObject({
        state: 'unmet',
        remedy: expect.stringContaining('AMD-Vi') as string,
      });
    },
  );

  it('is told where it is', async () => {
    const tree = { ...trees.debian, '/proc/cmdline': 'quiet amd_iommu=on\n' };
    const { notes } = await plan(tree, { iommu: { mode: 'on' } });
    expect(notes.map(({ text }) => text).join()).toContain('amd_iommu=on');
  });
});

it.each(['aarch64', 's390x', 'riscv64'])(
  'guesses no vendor argument on %s',
  async (architecture) => {
    for (const tree of [trees.debian, withoutGroups(trees.debian)]) {
      const made = await plan(tree, { iommu: { mode: 'strict' } }, architecture);
      expect(wantedText(made)).not.toMatch(/intel_iommu|amd_iommu/);
      expect(wantedText(made)).toContain('iommu.strict=1');
    }
    const none = await plan(withoutGroups(trees.debian), { iommu: { mode: 'on' } }, architecture);
    expect(stateOf(none, 'iommu')).toBe('unmet');
  },
);

it('another manager that switches the IOMMU off is a conflict, and not fought', async () => {
  using host = new HostTree({ ...trees.silverblue, '/ostree/kargs': 'quiet amd_iommu=off\n' });
  const desired = readDesiredState({ iommu: { mode: 'on' } });
  for (let turn = 0; turn < 3; turn += 1) {
    const { items, steps } = await applyHost(host.environment(), desired);
    expect(stateOf({ items }, 'iommu')).toBe('conflicting');
    expect(steps).toEqual([]);
  }
  expect(host.calls()).toEqual([]);
});

it('needs no argument for groups that are there', async () => {
  const made = await plan(trees.debian, { iommu: { mode: 'on' } });
  expect(stateOf(made, 'iommu')).toBe('foreign-ok');
  expect(made.actions).toEqual([]);
});

describe('integrated graphics, which kernels leave out of translation by default', () => {
  const graphics = trees.pciDevice('0000:00:02.0', { vendor: '0x8086', device: '0x3e92' });
  const desired = { iommu: { mode: 'on' }, early: ['0000:00:02.0'] };

  it('get intel_iommu=on although there are groups', async () => {
    const made = await plan({ ...trees.debian, ...graphics }, desired);
    expect(wantedText(made)).toContain('intel_iommu=on');
    expect(stateOf(made, 'iommu.groups')).toBe('missing');
  });

  it('get none where they have a group', async () => {
    const grouped = {
      '/sys/kernel/iommu_groups/0/devices/.keep': '',
      '/sys/bus/pci/devices/0000:00:02.0/iommu_group': {
        link: '../../../../kernel/iommu_groups/0',
      },
    };
    const made = await plan({ ...trees.debian, ...graphics, ...grouped }, desired);
    expect(wantedText(made)).not.toContain('intel_iommu');
  });
});

it('takes no argument for its effect: intel_iommu=on that made no groups is told', async () => {
  const words = 'quiet intel_iommu=on';
  const tree = {
    ...withoutGroups(trees.silverblue),
    '/ostree/kargs': `${words}\n`,
    '/proc/cmdline': `${words}\n`,
  };
  const made = await plan(tree, { iommu: { mode: 'on' } });
  expect(made.items.find(({ id }) => id === 'iommu.groups')).toMatchObject({
    state: 'unmet',
    reason: 'the kernel made no IOMMU groups although it runs with intel_iommu=on',
  });
});
