import { describe, expect, it } from 'vitest';
import { applyHost, readDesiredState, rollbackHost } from '../../../src/host/setup/index.js';
import { desktop, EVERYTHING, kvmfrModule } from './planning.js';
import * as trees from './stand-ins.js';
import { HostTree } from './tree.js';

describe('everything that was added is found again, and nothing else', () => {
  it.each([
    ['Debian', desktop],
    ['rpm-ostree', { ...trees.silverblue, ...kvmfrModule, ...trees.pciDevice('0000:01:00.0') }],
    ['Fedora', { ...trees.fedora, ...kvmfrModule, ...trees.pciDevice('0000:01:00.0') }],
  ])('puts back every kind of change: %s', async (_, tree) => {
    using host = new HostTree(tree);
    const before = host.fingerprint();
    await applyHost(host.environment(), readDesiredState(EVERYTHING));
    expect(host.fingerprint()).not.toEqual(before);
    const { refused } = await rollbackHost(host.environment());
    expect(refused).toEqual([]);
    expect(host.fingerprint()).toEqual(before);
  });

  it.each(['vfio-pci.ids', 'vfio_pci.ids'])(
    'merges into a %s that was there, and out of it',
    async (key) => {
      using host = new HostTree({
        ...trees.silverblue,
        ...trees.pciDevice('0000:01:00.0'),
        '/ostree/kargs': `quiet ${key}=1234:5678\n`,
      });
      const desired = readDesiredState({ early: [{ device: '0000:01:00.0', method: 'ids' }] });
      await applyHost(host.environment(), desired);
      const merged = host.read('/ostree/kargs') ?? '';
      expect(merged).toContain(`${key}=1234:5678,10de:2204`);
      expect(merged.match(/vfio[-_]pci\.ids/g)).toHaveLength(1);
      expect((await applyHost(host.environment(), desired)).steps).toEqual([]);
      await rollbackHost(host.environment());
      expect(host.read('/ostree/kargs')).toBe(`quiet ${key}=1234:5678\n`);
    },
  );

  it('quotes no value, which then would match nothing', async () => {
    using host = new HostTree(trees.silverblue);
    await applyHost(host.environment(), readDesiredState({ iommu: { mode: 'pt' } }));
    await rollbackHost(host.environment());
    expect(host.calls()).toEqual([
      'rpm-ostree [--append-if-missing=iommu=pt]',
      'rpm-ostree [--delete-if-present=iommu=pt]',
    ]);
  });

  it('keeps the iommu=pt that the administrator had before', async () => {
    using host = new HostTree({ ...trees.silverblue, '/ostree/kargs': 'quiet iommu=pt\n' });
    const desired = readDesiredState({ iommu: { mode: 'pt' }, kvm: { ignoreMsrs: true } });
    const { items } = await applyHost(host.environment(), desired);
    expect(items.find(({ subject }) => subject === 'iommu=pt')?.state).not.toBe('ok');
    await rollbackHost(host.environment());
    expect(host.read('/ostree/kargs')).toBe('quiet iommu=pt\n');
  });
});

it('owns nothing that some of the kernels had before (grubby, stand-in)', async () => {
  const info = 'index=0\nargs="ro quiet kvm.ignore_msrs=1"\nindex=1\nargs="ro quiet"\n';
  using host = new HostTree({
    ...trees.fedora,
    '/boot/info': info,
    '/usr/sbin/grubby': { program: 'echo "$@" >>"$ROOT/calls"; cat "$ROOT/boot/info"' },
  });
  const desired = readDesiredState({ kvm: { ignoreMsrs: true } });
  const { items, steps } = await applyHost(host.environment(), desired);
  expect(items).toMatchObject([
    { state: 'conflicting', reason: expect.stringContaining('some of the kernels') as string },
  ]);
  expect(steps).toEqual([]);
  expect(host.calls().every((call) => call === '--info=ALL')).toBe(true);
});
