import { describe, expect, it } from 'vitest';
import { HostTree } from '../host/sysfs-tree.js';
import { CliHome } from './run-cli.js';

const BRIDGE = { class: '0x060400', driver: 'pcieport' };
const GPU = { vendor: '0x10de', device: '0x2204', class: '0x030000' };
const SOUND = { vendor: '0x10de', device: '0x1aef', class: '0x040300' };
const BAR = '0x0000000080000000 0x0000000080ffffff 0x0000000000040200';

function envOf({ roots }: HostTree) {
  return {
    QMPLUG_SYSFS_ROOT: roots.sysfs,
    QMPLUG_PROC_ROOT: roots.proc,
    QMPLUG_DEV_ROOT: roots.dev,
    QMPLUG_PCI_IDS: '/nonexistent/pci.ids',
  };
}

function hostWithoutIommu(): HostTree {
  const host = new HostTree();
  host.file('/proc/sys/kernel/osrelease', '0.0.0-of-a-test\n');
  host.addFunction('0000:00:1f.2', { class: '0x010601', driver: 'ahci' });
  host.addFunction('0000:3b:00.0', { ...GPU, driver: 'nouveau', resource: BAR });
  return host;
}

/** A GPU with its sound function in one group below a root port, and a NIC alone in another. */
function hostWithIommu(): HostTree {
  const host = new HostTree();
  host.addFunction('0000:00:01.0', { ...BRIDGE, group: 1 });
  const above = ['pci0000:00', '0000:00:01.0'];
  host.addFunction('0000:01:00.0', { ...GPU, above, group: 2 });
  host.addFunction('0000:01:00.1', { ...SOUND, above, group: 2, driver: 'snd_hda_intel' });
  host.addFunction('0000:02:00.0', { group: 3, driver: 'vfio-pci' });
  host.file('/dev/vfio/vfio', '');
  return host;
}

const rows = (stdout: string) => stdout.split('\n').map((line) => line.split(/ {2,}/));

describe('without an IOMMU', () => {
  it('prints every device, and says what is missing for VFIO', async () => {
    using host = hostWithoutIommu();
    using home = new CliHome();
    const { status, stdout, stderr } = await home.run(['devices'], { env: envOf(host) });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(rows(stdout).map((row) => row.slice(0, 6))).toEqual([
      ['ADDRESS', 'GROUP', 'NUMA', 'DRIVER', 'ID', 'DEVICE'],
      ['0000:00:1f.2', '-', '-', 'ahci', '8086:10d3', 'SATA controller'],
      ['0000:3b:00.0', '-', '-', 'nouveau', '10de:2204', 'VGA controller'],
      [''],
      ['missing for VFIO:'],
      ['', expect.stringContaining('there are no IOMMU groups')],
      ['', expect.stringContaining('intel_iommu=on')],
      ['', expect.stringContaining('does not tell which modules there are')],
      ['', expect.stringContaining('qmplug doctor --only vfio.modules')],
      [''],
    ]);
  });

  it('prints the same as JSON, each device refused for want of a group', async () => {
    using host = hostWithoutIommu();
    using home = new CliHome();
    const { status, document } = await home.json(['devices'], { env: envOf(host) });
    expect(status).toBe(0);
    expect(document).toMatchObject({
      devices: [
        { bdf: '0000:00:1f.2', driver: 'ahci', iommuGroup: null, groupMembers: [] },
        {
          bdf: '0000:3b:00.0',
          vendorId: '0x10de',
          deviceId: '0x2204',
          classCode: '0x030000',
          class: 'VGA controller',
          driver: 'nouveau',
          bars: [{ index: 0, kind: 'mem32', sizeBytes: 0x1000000 }],
        },
      ],
      missing: [{ need: 'iommu' }, { need: 'vfio-pci' }],
    });
    const rejected = document.rejected as { bdf: string; reasons: { reason: string }[] }[];
    expect(rejected.map(({ bdf }) => bdf)).toEqual(['0000:00:1f.2', '0000:3b:00.0']);
    for (const { reasons } of rejected) {
      expect(reasons.map(({ reason }) => reason)).toContain('no-iommu-group');
    }
  });
});

it('explains that what a selector takes cannot be given to a VM all the same', async () => {
  using host = hostWithoutIommu();
  using home = new CliHome();
  const { status, stdout } = await home.run(['devices', '3b:00.0', '--explain'], {
    env: envOf(host),
  });
  expect(status).toBe(0);
  expect(stdout).toMatch(
    /0000:3b:00\.0 {2}chosen\n.*\n( {4}in the way.*\n)* {4}in the way {2}in no IOMMU group \[no-iommu-group\]\n/,
  );
  expect(stdout).not.toMatch(/1f\.2.*\n.*\n {4}in the way/);
  expect(stdout).toContain('\nmissing for VFIO:\n  there are no IOMMU groups');
});

describe('with an IOMMU', () => {
  it('names what is in the way of each device, and nothing for one that is free', async () => {
    using host = hostWithIommu();
    using home = new CliHome();
    const { document } = await home.json(['devices'], { env: envOf(host) });
    expect(document.missing).toEqual([]);
    const reasons = new Map(
      (document.rejected as { bdf: string; reasons: { reason: string; evidence: string }[] }[]).map(
        (each) => [each.bdf, each.reasons],
      ),
    );
    expect([...reasons.keys()]).not.toContain('0000:02:00.0');
    expect(reasons.get('0000:00:01.0')).toMatchObject([{ reason: 'in-use.bridge' }]);
    expect(reasons.get('0000:01:00.0')).toContainEqual(
      expect.objectContaining({
        reason: 'group-not-viable',
        evidence: 'IOMMU group 2 also holds 0000:01:00.1 (driver snd_hda_intel)',
      }),
    );
    expect(document.devices).toContainEqual(
      expect.objectContaining({
        bdf: '0000:01:00.0',
        iommuGroup: 2,
        groupMembers: ['0000:01:00.0', '0000:01:00.1'],
      }),
    );
  });

  it('prints one device alone, by any of its names', async () => {
    using host = hostWithIommu();
    using home = new CliHome();
    for (const name of ['0000:02:00.0', '02:00.0', 'pci_0000_02_00_0']) {
      const { status, document } = await home.json(['devices', name], { env: envOf(host) });
      expect(status).toBe(0);
      expect(document.devices).toMatchObject([{ bdf: '0000:02:00.0', driver: 'vfio-pci' }]);
    }
  });

  it('refuses a device that the host does not have, with what comes near', async () => {
    using host = hostWithIommu();
    using home = new CliHome();
    const { status, document } = await home.json(['devices', '0000:01:00.2'], {
      env: envOf(host),
    });
    expect(status).toBe(3);
    expect(document).toMatchObject({
      error: {
        code: 'NO_MATCH',
        details: { nearMisses: expect.arrayContaining(['0000:01:00.0']) as unknown },
      },
    });
  });

  it('misses the node where /dev has none for a driver that is loaded', async () => {
    using host = hostWithIommu();
    using home = new CliHome();
    host.remove('/dev/vfio/vfio');
    const { document } = await home.json(['devices'], { env: envOf(host) });
    expect(document.missing).toMatchObject([{ need: 'vfio-node' }]);
  });
});

it('explains what binding would write, and what there is to know of what matches', async () => {
  using host = hostWithIommu();
  using home = new CliHome();
  const { document } = await home.json(['devices', 'driver:none', '--explain'], {
    env: envOf(host),
  });
  const explained = document.explained as { bdf: string }[];
  expect(explained.find(({ bdf }) => bdf === '0000:01:00.0')).toMatchObject({
    verdict: 'chosen',
    obstacles: expect.arrayContaining([
      expect.objectContaining({ level: 'block', reason: 'group-not-viable' }),
    ]) as unknown,
    binding: {
      driver: 'vfio-pci',
      writes: [
        { path: '/sys/bus/pci/devices/0000:01:00.0/driver_override', value: 'vfio-pci' },
        { path: '/sys/bus/pci/drivers/vfio-pci/bind', value: '0000:01:00.0' },
      ],
    },
  });
  expect(explained.find(({ bdf }) => bdf === '0000:02:00.0')).toMatchObject({
    verdict: 'rejected',
    obstacles: null,
    binding: null,
  });
});

it('explains it for the driver that is asked for', async () => {
  using host = hostWithIommu();
  using home = new CliHome();
  const asked = ['devices', '--explain', '--driver', 'keep'];
  const { document } = await home.json(asked, { env: envOf(host) });
  const explained = document.explained as { bdf: string }[];
  expect(explained.find(({ bdf }) => bdf === '0000:02:00.0')).toMatchObject({
    binding: { driver: 'vfio-pci', writes: [] },
  });
  expect(explained.find(({ bdf }) => bdf === '0000:01:00.1')).toMatchObject({
    obstacles: expect.arrayContaining([
      expect.objectContaining({ level: 'block', reason: 'wrong-driver' }),
    ]) as unknown,
    binding: null,
  });
  const { stdout } = await home.run(asked, { env: envOf(host) });
  expect(stdout).toMatch(/in the way {2}0000:01:00\.1 is on snd_hda_intel.*\[wrong-driver\]/);
});

it('explains all without a selector, of which none is refused for being one of many', async () => {
  using host = hostWithIommu();
  using home = new CliHome();
  const { stdout } = await home.run(['devices', '--explain'], { env: envOf(host) });
  expect(stdout).not.toMatch(/AMBIGUOUS|bdf:|chosen/);
  expect(stdout).toContain('0000:02:00.0  matches\n    to bind     nothing: it is on vfio-pci\n');
  expect(stdout).toContain('0000:00:01.0  rejected: denied, deny.pci-bridge: a PCI bridge\n');
});

it('names for whom a device is set aside', async () => {
  using host = hostWithIommu();
  using home = new CliHome();
  const env = envOf(host);
  host.addProcess(process.pid);
  await home.run(['host', 'reserve', '0000:02:00.0', '--for', 'alice'], { env });
  const { document } = await home.json(['devices', '0000:02:00.0'], { env });
  expect(document.rejected).toMatchObject([
    {
      bdf: '0000:02:00.0',
      reasons: [{ reason: 'reserved', evidence: 'group-3 is reserved for alice' }],
    },
  ]);
});

it('tells of a host that cannot be read, with status 3', async () => {
  using home = new CliHome();
  const { status, document } = await home.json(['devices'], {
    env: { QMPLUG_SYSFS_ROOT: '/nonexistent', QMPLUG_PROC_ROOT: '/nonexistent' },
  });
  expect(status).toBe(3);
  expect(document).toMatchObject({ error: { code: 'HOST_UNREADABLE' } });
});

it('has no colour and no control characters for a driver with an odd name', async () => {
  using host = new HostTree();
  using home = new CliHome();
  host.addFunction('0000:3b:00.0', { driver: 'odd\u001b[31m', class: '0xff0000' });
  const { stdout } = await home.run(['devices'], { env: envOf(host), terminal: true });
  expect(stdout).toContain('odd\\x1b[31m');
  expect(stdout).not.toContain('\u001b');
  expect(stdout).toContain('device of no defined class');
});
