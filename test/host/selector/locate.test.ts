import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseSelector } from '../../../src/host/selector/parse-selector.js';
import { resolveSelector } from '../../../src/host/selector/resolve-selector.js';
import { selectCandidate } from '../../../src/host/selector/select-device.js';
import type { HostTree } from '../sysfs-tree.js';
import { gpuHost, MDEV } from './gpu-host.js';

const NIC = '0000:05:00.0';
const VF = '0000:05:10.0';

let tree: HostTree;
beforeAll(() => {
  tree = gpuHost();
  tree.file(`${tree.pathOf(VF)}/vfio-dev/vfio3/dev`, '511:3\n');
  tree.file('/dev/vfio/devices/vfio3', '');
  tree.file('/dev/vfio/8', '');
  tree.linkTo('/sys/class/vfio-dev/vfio3', `${tree.pathOf(VF)}/vfio-dev/vfio3`);
  tree.link('/dev/vfio/by-name/lan', '../devices/vfio3');
  tree.link('/dev/loop', 'loop');
  tree.link(`${tree.pathOf(NIC)}/net/eth0/device`, '../..');
  tree.linkTo('/sys/class/net/bond0', '/sys/devices/virtual/net/bond0');
  tree.file('/sys/devices/virtual/net/bond0/address', '');
});
afterAll(() => tree[Symbol.dispose]());

const select = async (text: string, options = {}) =>
  (await selectCandidate({ effects: tree.effects }, text, { guarded: false, ...options })).name;

describe('one device by all its names', () => {
  it.each([
    VF,
    '05:10.0',
    'pci_0000_05_10_0',
    `/sys/bus/pci/devices/${VF}`,
    `/sys/kernel/iommu_groups/8/devices/${VF}/`,
    `/sys/bus/pci/drivers/vfio-pci/${VF}`,
    `/sys/bus/pci/devices/${NIC}/virtfn0`,
    '/sys/kernel/iommu_groups/8',
    '/dev/vfio/8',
    '/dev/vfio/devices/vfio3',
    '/dev//vfio/devices/./vfio3',
    'vfio3',
    '/sys/class/vfio-dev/vfio3',
    '/dev/vfio/by-name/lan',
    'file:"/dev/vfio/8"',
    '{"match":{"file":"/dev/vfio/8"}}',
  ])('%s', async (text) => {
    expect(await select(text)).toBe(VF);
  });

  it.each([
    ['/sys/class/net/eth0', NIC],
    ['/sys/class/net/eth0/device', NIC],
    [`/sys/bus/pci/devices/${VF}/physfn`, NIC],
    [`/sys/kernel/iommu_groups/11/devices/${MDEV}`, MDEV],
    [`/sys/devices/pci0000:00/0000:06:00.0/${MDEV.toUpperCase()}`, MDEV],
    ['/sys/kernel/iommu_groups/11', MDEV],
    ['/dev/vfio/11', MDEV],
  ])('%s is %s', async (text, name) => {
    expect(await select(text)).toBe(name);
  });

  it('is told by the address it leads to, however it was named', async () => {
    const { chosen } = await resolveSelector({ effects: tree.effects }, parseSelector('vfio3'));
    expect(chosen.map(({ name }) => name)).toEqual([VF]);
  });
});

it('asks which, where a group has several devices that can go', async () => {
  await expect(select('/dev/vfio/3')).rejects.toMatchObject({
    code: 'AMBIGUOUS',
    details: { matches: ['0000:01:00.0', '0000:01:00.1'] },
  });
});

it.each([
  '/dev/vfio/99',
  '/dev/vfio/devices/vfio99',
  'vfio99',
  '/dev/loop',
  '/dev/null/more',
  '/sys/class/net/none',
  '/sys/class/net/bond0',
  '/sys/class/net',
  `/sys/bus/pci/devices/${NIC}/driver`,
])('finds no device at %s, and says so', async (text) => {
  await expect(select(text)).rejects.toMatchObject({
    code: 'NO_MATCH',
    message: expect.stringMatching(/leads to no device/) as string,
  });
});

it('reads a path within a term, and without what a negated one names', async () => {
  const resolve = async (text: string) =>
    (
      await resolveSelector(
        { effects: tree.effects },
        { ...parseSelector(text), policy: { kind: 'all' } },
        { guarded: false },
      )
    ).chosen.map(({ name }) => name);
  expect(await resolve('vf !vfio3')).toEqual(['0000:05:10.1']);
  expect(await resolve('file:"/dev/vfio/8","/sys/class/net/eth1"')).toEqual([VF, '0000:05:10.1']);
  expect(await resolve('vf file:!"/dev/vfio/8"')).toEqual(['0000:05:10.1']);
  expect(await resolve('pf-of:/sys/class/net/eth0')).toEqual([VF, '0000:05:10.1']);
  expect(await resolve('/dev/vfio/8 | /dev/vfio/11')).toEqual([VF, MDEV]);
});

it('denies by the path of a rule, and passes over a rule whose path is gone', async () => {
  const { expression } = parseSelector('/sys/class/net/eth0');
  const rule = { id: 'uplink', action: 'deny' as const, expression, about: 'the uplink' };
  const gone = { ...rule, id: 'gone', expression: parseSelector('/sys/class/net/none').expression };
  await expect(
    select('driver:igb pf', { guarded: true, rules: [gone, rule], onlyFree: false }),
  ).rejects.toMatchObject({
    code: 'DENIED',
    message: expect.stringContaining('the uplink') as string,
  });
});

it('still denies all but a device whose path is gone', async () => {
  const { expression } = parseSelector('!/sys/class/net/none');
  const rule = { id: 'only', action: 'deny' as const, expression, about: 'all but the uplink' };
  await expect(
    select('driver:igb pf', { guarded: true, rules: [rule], onlyFree: false }),
  ).rejects.toMatchObject({
    code: 'DENIED',
    message: expect.stringContaining('all but the uplink') as string,
  });
});
