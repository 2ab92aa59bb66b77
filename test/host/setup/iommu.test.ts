import { describe, expect, it } from 'vitest';
import { applyHost, readDesiredState } from '../../../src/host/setup/index.js';
import { plan, stateOf, wantedText } from './planning.js';
import * as trees from './stand-ins.js';
import { HostTree } from './tree.js';

describe('amd_iommu=on is no option', () => {
  it.each(['on', 'pt', 'strict'])('is never written for iommu.mode %s', async (mode) => {
    const amd = {
      ...trees.debian,
      '/sys/firmware/acpi/tables/IVRS': '',
      '/proc/cpuinfo': 'vendor_id : AuthenticAMD\n',
    };
    expect(wantedText(await plan(amd, { iommu: { mode } }))).not.toContain('amd_iommu');
  });

  it('is told where it is', async () => {
    const tree = { ...trees.debian, '/proc/cmdline': 'quiet amd_iommu=on\n' };
    const { notes } = await plan(tree, { iommu: { mode: 'on' } });
    expect(notes.map(({ text }) => text).join()).toContain('amd_iommu=on');
  });
});

it.each(['aarch64', 's390x', 'riscv64'])(
  'guesses no vendor argument on %s',
  async (architecture) => {
    const made = await plan({ ...trees.debian }, { iommu: { mode: 'strict' } }, architecture);
    expect(wantedText(made)).not.toMatch(/intel_iommu|amd_iommu/);
    expect(wantedText(made)).toContain('iommu.strict=1');
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
