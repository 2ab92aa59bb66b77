import { describe, expect, it } from 'vitest';
import { readDevices, readGroups, readHostSnapshot } from '../../src/host/inventory.js';
import type { HostEffects } from '../../src/host/effects.js';
import { findCulprits } from '../../src/host/viability.js';
import { createHostEffects } from '../../src/host/real-effects.js';
import { known } from '../../src/known.js';
import { toBdf } from '../../src/pci/pci-address.js';
import { BOOT_ID, HostTree } from './sysfs-tree.js';

const GPU_ROWS = [
  '0x00000000f0000000 0x00000000f0ffffff 0x0000000000040200',
  '0x0000002000000000 0x00000027ffffffff 0x000000000014220c',
].join('\n');

/** A host with most of what makes hosts differ. */
function mixedHost(): HostTree {
  const tree = new HostTree();
  tree.addFunction('0000:00:00.0', { class: '0x060000' });
  tree.addFunction('0000:00:01.0', { class: '0x060400', driver: 'pcieport', group: 2 });
  tree.addFunction('0000:01:00.0', {
    above: ['pci0000:00', '0000:00:01.0'],
    vendor: '0x10de',
    device: '0x2204',
    class: '0x030000',
    driver: 'nvidia',
    override: 'nvidia',
    group: 2,
    numaNode: 1,
    bootVga: true,
    resource: GPU_ROWS,
    resetMethod: 'flr bus',
    modalias: 'pci:v000010DEd00002204sv000010DEsd00000000bc03sc00i00',
  });
  tree.addFunction('0000:01:00.1', {
    above: ['pci0000:00', '0000:00:01.0'],
    class: '0x040300',
    driver: 'snd_hda_intel',
    group: 2,
  });
  tree.addFunction('0000:00:1a.0', { class: '0x080600' });
  tree.addFunction('0000:05:00.0', { driver: 'igb', group: 10, totalVfs: 8 });
  tree.addFunction('0000:05:10.0', { group: 11, physfn: '0000:05:00.0' });
  tree.addFunction('0000:05:10.1', { driver: 'igbvf', group: 12, physfn: '0000:05:00.0' });
  tree.addFunction('10000:e1:00.0', {
    above: ['pci0000:00', '0000:00:0e.0', 'pci10000:e0'],
    class: '0x010802',
    driver: 'nvme',
    group: 9,
  });
  return tree;
}

describe('readDevices', () => {
  it('tells what sysfs tells, in numeric order', async () => {
    using tree = mixedHost();
    const devices = await readDevices(tree.effects);
    expect([...devices.keys()]).toEqual([
      '0000:00:00.0',
      '0000:00:01.0',
      '0000:00:1a.0',
      '0000:01:00.0',
      '0000:01:00.1',
      '0000:05:00.0',
      '0000:05:10.0',
      '0000:05:10.1',
      '10000:e1:00.0',
    ]);
    expect(devices.get(toBdf('0000:01:00.0'))).toEqual({
      bdf: '0000:01:00.0',
      vendorId: 0x10de,
      deviceId: 0x2204,
      subsystemVendorId: 0x8086,
      subsystemDeviceId: 0,
      classCode: 0x030000,
      revision: 1,
      driver: 'nvidia',
      driverOverride: known('nvidia'),
      numaNode: 1,
      iommuGroup: 2,
      bars: [
        { index: 0, kind: 'mem32', sizeBytes: 0x1000000n },
        { index: 1, kind: 'pref64', sizeBytes: 0x800000000n },
      ],
      resetMethods: ['flr', 'bus'],
      bridge: false,
      bootVga: true,
      physfn: undefined,
      vfCount: 0,
      vfTotal: 0,
      modalias: 'pci:v000010DEd00002204sv000010DEsd00000000bc03sc00i00',
      vfioCdev: undefined,
      children: {},
    });
  });

  it('takes absent attributes for what they are', async () => {
    using tree = mixedHost();
    const devices = await readDevices(tree.effects);
    expect(devices.get(toBdf('0000:00:1a.0'))).toMatchObject({
      driver: undefined,
      iommuGroup: undefined,
      driverOverride: known(undefined),
      numaNode: -1,
      resetMethods: [],
      bars: [],
      modalias: undefined,
    });
    expect(devices.get(toBdf('0000:00:00.0'))?.bridge).toBe(true);
    expect(devices.get(toBdf('0000:00:01.0'))?.bridge).toBe(true);
  });

  it('tells a PF from its VFs', async () => {
    using tree = mixedHost();
    const devices = await readDevices(tree.effects);
    expect(devices.get(toBdf('0000:05:00.0'))).toMatchObject({ vfCount: 2, vfTotal: 8 });
    expect(devices.get(toBdf('0000:05:10.1'))).toMatchObject({
      physfn: '0000:05:00.0',
      vfCount: 0,
    });
  });

  it('names the children of a function, not of the function above it', async () => {
    using tree = mixedHost();
    tree.addChild('0000:05:00.0', 'net/eth0');
    tree.addChild('10000:e1:00.0', 'nvme/nvme0');
    const disk = tree.addChild('10000:e1:00.0', 'nvme/nvme0/nvme0n1', {}, '/sys/class/block');
    tree.addDevice(`${disk}/nvme0n1p1`, {}, '/sys/class/block');
    tree.addChild('0000:01:00.0', 'drm/card0');
    tree.addChild('0000:01:00.0', 'drm/renderD128');
    const devices = await readDevices(tree.effects);
    expect(devices.get(toBdf('0000:05:00.0'))?.children).toEqual({ net: ['eth0'] });
    expect(devices.get(toBdf('0000:01:00.0'))?.children).toEqual({ drm: ['card0'] });
    const nvme = devices.get(toBdf('10000:e1:00.0'))?.children;
    expect(nvme).toMatchObject({ nvme: ['nvme0'], block: ['nvme0n1'] });
    expect(devices.get(toBdf('0000:00:01.0'))?.children).toEqual({});
  });

  it('believes in a cdev only where its node is', async () => {
    using tree = mixedHost();
    const cdev = `${tree.pathOf('0000:05:10.0')}/vfio-dev/vfio3`;
    const cdevOf = async () =>
      (await readDevices(tree.effects)).get(toBdf('0000:05:10.0'))?.vfioCdev;
    tree.directory(cdev);
    expect(await cdevOf()).toBeUndefined();
    tree.file(`${cdev}/dev`, '243:3\n');
    expect(await cdevOf()).toBeUndefined();
    tree.file('/dev/vfio/devices/vfio3', '');
    expect(await cdevOf()).toBe('vfio3');
  });

  it('keeps a device whose override does not answer', async () => {
    using tree = mixedHost();
    tree.remove(`${tree.pathOf('0000:05:00.0')}/driver_override`);
    tree.directory(`${tree.pathOf('0000:05:00.0')}/driver_override`);
    const device = (await readDevices(tree.effects)).get(toBdf('0000:05:00.0'));
    expect(device).toMatchObject({ driver: 'igb', driverOverride: { known: false } });
  });

  it('leaves out a device that vanishes and one that cannot be read, and keeps the others', async () => {
    using tree = mixedHost();
    tree.link('/sys/bus/pci/devices/0000:aa:00.0', '../../../devices/pci0000:00/0000:aa:00.0');
    tree.file(`${tree.pathOf('0000:05:00.0')}/vendor`, 'garbage\n');
    const devices = await readDevices(tree.effects);
    expect(devices.has(toBdf('0000:aa:00.0'))).toBe(false);
    expect(devices.has(toBdf('0000:05:00.0'))).toBe(false);
    expect(devices.has(toBdf('0000:01:00.0'))).toBe(true);
    const host = await readHostSnapshot(tree.effects);
    expect(findCulprits(host, 10)).toMatchObject([{ name: '0000:05:00.0', driver: 'unknown' }]);
  });

  it('reads nothing that wakes a device or waits for its lock, but the override', async () => {
    using tree = mixedHost();
    for (const name of [
      'config',
      'current_link_speed',
      'sriov_numvfs',
      'resource1_resize',
      'vpd',
    ]) {
      tree.file(`${tree.pathOf('0000:05:00.0')}/${name}`, 'x');
    }
    const seen: string[] = [];
    const recording: HostEffects = Object.create(tree.effects) as HostEffects;
    recording.read = async (path, options) => {
      seen.push(path.slice(path.lastIndexOf('/') + 1));
      return tree.effects.read(path, options);
    };
    await readDevices(recording);
    expect(seen).toContain('driver_override');
    expect(seen.filter((name) => /config|link|numvfs|resize|vpd|rom/.test(name))).toEqual([]);
  });
});

describe('readGroups', () => {
  it('lists members by number, bridges and members that are no PCI functions included', async () => {
    using tree = mixedHost();
    tree.linkTo(
      '/sys/kernel/iommu_groups/10/devices/gpio-mmio.0',
      '/sys/devices/platform/gpio-mmio.0',
    );
    const uuid = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';
    tree.linkTo(`/sys/kernel/iommu_groups/20/devices/${uuid}`, `/sys/devices/virtual/mtty/${uuid}`);
    tree.file('/sys/kernel/iommu_groups/20/name', 'vfio-noiommu\n');
    const groups = await readGroups(tree.effects);
    expect([...groups.keys()]).toEqual([2, 9, 10, 11, 12, 20]);
    expect(groups.get(2)).toEqual({
      id: 2,
      members: ['0000:00:01.0', '0000:01:00.0', '0000:01:00.1'],
      others: [],
    });
    expect(groups.get(10)?.others).toEqual(['gpio-mmio.0']);
    expect(groups.get(20)).toEqual({ id: 20, members: [], others: [uuid] });
  });

  it('is empty without an IOMMU', async () => {
    using tree = new HostTree();
    expect((await readGroups(tree.effects)).size).toBe(0);
  });
});

describe('readHostSnapshot', () => {
  it('looks only at what was asked for', async () => {
    using tree = mixedHost();
    tree.addProcess(812, { command: 'qemu-system-x86', files: ['/dev/vfio/11', '/dev/vfio/vfio'] });
    const bare = await readHostSnapshot(tree.effects);
    expect(bare.bootId).toBe(BOOT_ID);
    expect(bare.uses.size + bare.holders.size).toBe(0);
    const asked = await readHostSnapshot(tree.effects, {
      uses: [toBdf('0000:05:10.0')],
      holders: [10, 11],
    });
    const holder = { pid: 812, command: 'qemu-system-x86', node: '/dev/vfio/11' };
    expect(asked.holders.get(10)).toEqual(known([]));
    expect(asked.holders.get(11)).toEqual(known([holder]));
    expect(asked.uses.get(toBdf('0000:05:10.0'))).toMatchObject([{ reason: 'in-use.vfio' }]);
  });

  it('fails where there is no /proc to read the boot from', async () => {
    using tree = new HostTree();
    tree.remove('/proc/sys/kernel/random/boot_id');
    await expect(readHostSnapshot(tree.effects)).rejects.toMatchObject({ code: 'HOST_UNREADABLE' });
  });

  it('reads this very machine', async () => {
    const snapshot = await readHostSnapshot(createHostEffects());
    expect(snapshot.bootId).toMatch(/^[0-9a-f-]{36}$/);
    for (const device of snapshot.devices.values()) {
      expect(device.vendorId).toBeGreaterThan(0);
      expect(device.bars.every(({ sizeBytes }) => (sizeBytes & (sizeBytes - 1n)) === 0n)).toBe(
        true,
      );
    }
  });
});
