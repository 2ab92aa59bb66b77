import { describe, expect, it } from 'vitest';
import { HostIoError, type HostEffects } from '../../src/host/effects.js';
import { findUses } from '../../src/host/guards/index.js';
import { readDevices } from '../../src/host/inventory.js';
import type { UseFinding } from '../../src/host/types.js';
import { toBdf } from '../../src/pci/pci-address.js';
import { HostTree } from './sysfs-tree.js';

const NVME = '0000:3d:00.0';
const NIC = '0000:05:00.0';

async function usesOf(
  tree: HostTree,
  address: string,
  options: { effects?: HostEffects; vmPid?: number } = {},
): Promise<readonly UseFinding[]> {
  const { effects = tree.effects, vmPid } = options;
  const bdf = toBdf(address);
  const devices = await readDevices(effects);
  const uses = await findUses(effects, [bdf], { devices, vmPid });
  return uses.get(bdf) ?? [];
}

const reasons = (findings: readonly UseFinding[]) =>
  findings.map(({ level, reason }) => `${level} ${reason}`);

/** Like the tree, but one path answers EACCES. */
function denying(
  tree: HostTree,
  method: 'read' | 'readlink' | 'list',
  denied: string,
): HostEffects {
  const effects: HostEffects = Object.create(tree.effects) as HostEffects;
  effects[method] = async (path: string): Promise<never> => {
    if (path === denied) throw new HostIoError('EACCES', method, path);
    return (await tree.effects[method](path)) as never;
  };
  return effects;
}

function withDisk(): HostTree {
  const tree = new HostTree();
  tree.addFunction(NVME, { class: '0x010802', driver: 'nvme', group: 4 });
  tree.addChild(NVME, 'nvme/nvme0');
  const disk = tree.addChild(NVME, 'nvme/nvme0/nvme0n1', { dev: '259:0' }, '/sys/class/block');
  tree.addDevice(`${disk}/nvme0n1p1`, { dev: '259:1' }, '/sys/class/block');
  tree.addDevice(`${disk}/nvme0n1p2`, { dev: '259:2' }, '/sys/class/block');
  return tree;
}

const mountLine = (number: string, point: string, fs = 'ext4', source = '/dev/whatever') =>
  `36 35 ${number} / ${point} rw,noatime shared:1 - ${fs} ${source} rw,errors=continue\n`;

/** Puts a dm device on a block device, as LVM and dm-crypt do. */
function stack(tree: HostTree, below: string, name: string, number: string, mapper: string): void {
  const path = tree.addDevice(
    `/sys/devices/virtual/block/${name}`,
    { dev: number },
    '/sys/class/block',
  );
  tree.file(`${path}/dm/name`, `${mapper}\n`);
  tree.linkTo(`${below}/holders/${name}`, path);
}

describe('block devices', () => {
  it('only warn while idle', async () => {
    using tree = withDisk();
    const findings = await usesOf(tree, NVME);
    expect(reasons(findings)).toEqual(['warn in-use.block']);
    expect(findings[0]?.evidence).toContain('/dev/nvme0n1p2');
  });

  it('block when a partition is mounted, whatever the mount calls its source', async () => {
    using tree = withDisk();
    tree.file('/proc/self/mountinfo', mountLine('259:2', '/srv/my\\040data', 'ext4', '/dev/root'));
    const findings = await usesOf(tree, NVME);
    expect(findings).toMatchObject([
      {
        level: 'block',
        reason: 'in-use.mount',
        evidence: '/dev/nvme0n1p2 is mounted on /srv/my data',
        remedy: 'umount /srv/my data',
      },
    ]);
  });

  it('are not confused by other disks and by mounts without a device', async () => {
    using tree = withDisk();
    tree.file('/proc/self/mountinfo', mountLine('8:1', '/') + mountLine('0:22', '/proc', 'proc'));
    expect(reasons(await usesOf(tree, NVME))).toEqual(['warn in-use.block']);
  });

  it('block when mounted in a mount namespace that is not ours', async () => {
    using tree = withDisk();
    const mountInfo = mountLine('259:1', '/data');
    tree.addProcess(700, { mountNamespace: 'mnt:[4026532500]', mountInfo });
    const [finding] = await usesOf(tree, NVME);
    expect(finding).toMatchObject({
      reason: 'in-use.mount',
      evidence: '/dev/nvme0n1p1 is mounted on /data (mount namespace of process 700)',
    });
  });

  it('block through every layer of dm, LVM and md', async () => {
    using tree = withDisk();
    const part = `${tree.pathOf(NVME)}/nvme/nvme0/nvme0n1/nvme0n1p2`;
    stack(tree, part, 'dm-0', '253:0', 'luks-root');
    stack(tree, '/sys/devices/virtual/block/dm-0', 'dm-1', '253:1', 'vg-root');
    tree.file('/proc/self/mountinfo', mountLine('253:1', '/'));
    const findings = await usesOf(tree, NVME);
    expect(reasons(findings)).toEqual([
      'block in-use.mount',
      'block in-use.stack',
      'block in-use.stack',
    ]);
    expect(findings.map(({ evidence }) => evidence)).toEqual([
      '/dev/dm-1 is mounted on /',
      '/dev/nvme0n1p2 is part of /dev/dm-0',
      '/dev/dm-0 is part of /dev/dm-1',
    ]);
  });

  it('block as an active array or volume that is not mounted', async () => {
    using tree = withDisk();
    const part = `${tree.pathOf(NVME)}/nvme/nvme0/nvme0n1/nvme0n1p1`;
    tree.addDevice('/sys/devices/virtual/block/md0', { dev: '9:0' }, '/sys/class/block');
    tree.linkTo(`${part}/holders/md0`, '/sys/devices/virtual/block/md0');
    expect(reasons(await usesOf(tree, NVME))).toEqual(['block in-use.stack']);
  });

  it('block under a loop device', async () => {
    using tree = withDisk();
    const loop = tree.addDevice(
      '/sys/devices/virtual/block/loop3',
      { dev: '7:3' },
      '/sys/class/block',
    );
    tree.file(`${loop}/loop/backing_file`, '/dev/nvme0n1p1\n');
    tree.file('/proc/self/mountinfo', mountLine('7:3', '/mnt'));
    const findings = await usesOf(tree, NVME);
    expect(reasons(findings)).toEqual(['block in-use.mount', 'block in-use.stack']);
  });

  it.each([
    ['the device', '/dev/nvme0n1p1'],
    ['a mapper name', '/dev/mapper/vg-swap'],
  ])('block as swap space named by %s', async (_, path) => {
    using tree = withDisk();
    const part = `${tree.pathOf(NVME)}/nvme/nvme0/nvme0n1/nvme0n1p2`;
    stack(tree, part, 'dm-0', '253:0', 'vg-swap');
    const header = 'Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n';
    tree.file('/proc/swaps', `${header}${path} partition 8388604 0 -2\n`);
    const findings = await usesOf(tree, NVME);
    expect(findings).toContainEqual(
      expect.objectContaining({ reason: 'in-use.swap', remedy: `swapoff ${path}` }),
    );
  });

  it('block as any member of a mounted btrfs, whose mount shows neither', async () => {
    using tree = withDisk();
    tree.file('/proc/self/mountinfo', mountLine('0:31', '/srv', 'btrfs', '/dev/sda1'));
    tree.linkTo(
      '/sys/fs/btrfs/0f0f/devices/nvme0n1p2',
      `${tree.pathOf(NVME)}/nvme/nvme0/nvme0n1/nvme0n1p2`,
    );
    expect(reasons(await usesOf(tree, NVME))).toEqual(['block in-use.mount']);
  });

  it('block as any of several sources and as a log device', async () => {
    using tree = withDisk();
    const bcachefs = mountLine('0:40', '/a', 'bcachefs', '/dev/sda:/dev/nvme0n1p1');
    const xfs = '36 35 8:1 / /b rw - xfs /dev/sda1 rw,logdev=/dev/nvme0n1p2\n';
    tree.file('/proc/self/mountinfo', bcachefs + xfs);
    const findings = await usesOf(tree, NVME);
    expect(findings.map(({ evidence }) => evidence)).toEqual([
      '/dev/nvme0n1p1 is mounted on /a',
      '/dev/nvme0n1p2 is mounted on /b',
    ]);
  });

  it('block as ZFS members, and where that cannot be told', async () => {
    using tree = withDisk();
    tree.file('/run/udev/data/b259:1', 'E:ID_FS_TYPE=zfs_member\n');
    tree.file('/run/udev/data/b259:2', 'E:ID_FS_TYPE=ext4\n');
    expect(reasons(await usesOf(tree, NVME))).toEqual(['warn in-use.block']);
    tree.file('/proc/spl/kstat/zfs/arcstats', '');
    tree.directory('/proc/spl/kstat/zfs/tank');
    const findings = await usesOf(tree, NVME);
    expect(findings).toMatchObject([
      { reason: 'unreadable.zfs', evidence: expect.stringContaining('/dev/nvme0n1 ') as string },
      { reason: 'in-use.zfs', evidence: expect.stringContaining('/dev/nvme0n1p1') as string },
    ]);
  });

  it('block while a process has one open, as another VM has', async () => {
    using tree = withDisk();
    tree.addProcess(900, { command: 'qemu-kvm', files: ['/dev/nvme0n1'] });
    expect(await usesOf(tree, NVME)).toMatchObject([
      { reason: 'in-use.open', evidence: '/dev/nvme0n1 is open in qemu-kvm (pid 900)' },
    ]);
  });

  it('are found behind the subsystem of NVMe multipath', async () => {
    using tree = new HostTree();
    tree.addFunction(NVME, { class: '0x010802', driver: 'nvme' });
    const controller = tree.addChild(NVME, 'nvme/nvme0');
    const subsystem = '/sys/devices/virtual/nvme-subsystem/nvme-subsys0';
    const head = tree.addDevice(`${subsystem}/nvme0n1`, { dev: '259:0' }, '/sys/class/block');
    tree.addDevice(`${head}/nvme0n1p1`, { dev: '259:1' }, '/sys/class/block');
    tree.linkTo(`${subsystem}/nvme0`, controller);
    tree.file('/proc/self/mountinfo', mountLine('259:1', '/'));
    expect(reasons(await usesOf(tree, NVME))).toEqual(['block in-use.mount']);
  });

  it('are found behind virtio, SCSI and a VMD controller', async () => {
    using tree = new HostTree();
    tree.addFunction('0000:00:02.0', { driver: 'virtio-pci', class: '0x018000' });
    tree.addChild('0000:00:02.0', 'virtio1/block/vda', { dev: '254:0' });
    tree.addFunction('0000:00:17.0', { driver: 'ahci', class: '0x010601' });
    tree.addChild('0000:00:17.0', 'ata1/host0/target0:0:0/0:0:0:0/block/sda', { dev: '8:0' });
    tree.addFunction('0000:00:0e.0', { driver: 'vmd', class: '0x010400' });
    const above = ['pci0000:00', '0000:00:0e.0', 'pci10000:e0'];
    tree.addFunction('10000:e1:00.0', { above, driver: 'nvme', class: '0x010802' });
    tree.addChild('10000:e1:00.0', 'nvme/nvme1/nvme1n1', { dev: '259:9' }, '/sys/class/block');
    tree.file(
      '/proc/self/mountinfo',
      mountLine('254:0', '/') + mountLine('8:0', '/a') + mountLine('259:9', '/b'),
    );
    for (const bdf of ['0000:00:02.0', '0000:00:17.0', '0000:00:0e.0', '10000:e1:00.0']) {
      expect(reasons(await usesOf(tree, bdf)), bdf).toEqual(['block in-use.mount']);
    }
  });

  it.each([
    ['read', '/proc/self/mountinfo', 'block unreadable.block'],
    ['read', '/proc/swaps', 'block unreadable.block'],
    ['readlink', '/proc/1/ns/mnt', 'block unreadable.mounts'],
    ['list', '/proc/1/fd', 'block unreadable.files'],
  ] as const)('block when %s of %s is denied', async (method, path, expected) => {
    using tree = withDisk();
    tree.file('/proc/swaps', 'Filename\n');
    const findings = await usesOf(tree, NVME, { effects: denying(tree, method, path) });
    expect(reasons(findings)).toContain(expected);
  });

  it('block within a PID namespace, which hides mounts and open files', async () => {
    using tree = withDisk();
    tree.link('/proc/self/ns/pid', 'pid:[4026532281]');
    expect(reasons(await usesOf(tree, NVME))).toEqual(
      expect.arrayContaining(['block unreadable.mounts', 'block unreadable.files']),
    );
  });
});

function withNic(): HostTree {
  const tree = new HostTree();
  tree.addFunction(NIC, { driver: 'igb', group: 6 });
  tree.addChild(NIC, 'net/eth0', { flags: '0x1003' });
  return tree;
}

const ROUTES =
  'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n';
const defaultVia = (name: string) =>
  `${name}\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n`;

/** Puts a virtual interface on another, with the links the kernel makes. */
function upper(tree: HostTree, below: string, name: string, isMaster: boolean): void {
  const path = `/sys/devices/virtual/net/${name}`;
  tree.addDevice(path, { flags: '0x1003' }, '/sys/class/net');
  tree.linkTo(`${below}/upper_${name}`, path);
  if (isMaster) tree.linkTo(`${below}/master`, path);
}

describe('network interfaces', () => {
  it('warn while up and are free while down', async () => {
    using tree = withNic();
    expect(reasons(await usesOf(tree, NIC))).toEqual(['warn in-use.net-up']);
    tree.file(`${tree.pathOf(NIC)}/net/eth0/flags`, '0x1002\n');
    expect(await usesOf(tree, NIC)).toEqual([]);
  });

  it('block with the IPv4 default route', async () => {
    using tree = withNic();
    tree.file('/proc/net/route', ROUTES + defaultVia('eth0'));
    expect(await usesOf(tree, NIC)).toMatchObject([
      { level: 'block', reason: 'in-use.net', evidence: 'eth0 carries the default route' },
    ]);
  });

  it('block with the IPv6 default route, but not with the unreachable one of the kernel', async () => {
    using tree = withNic();
    const route = (flags: string, name: string) =>
      `${'0'.repeat(32)} 00 ${'0'.repeat(32)} 00 fe800000000000000000000000000001 00000400 00000001 00000000 ${flags} ${name}\n`;
    tree.file('/proc/net/ipv6_route', route('00200200', 'eth0'));
    expect(reasons(await usesOf(tree, NIC))).toEqual(['warn in-use.net-up']);
    tree.file('/proc/net/ipv6_route', route('00000003', 'eth0'));
    expect(reasons(await usesOf(tree, NIC))).toEqual(['block in-use.net']);
  });

  it('block behind a bond in a VLAN in a bridge', async () => {
    using tree = withNic();
    upper(tree, `${tree.pathOf(NIC)}/net/eth0`, 'bond0', true);
    upper(tree, '/sys/devices/virtual/net/bond0', 'bond0.7', false);
    upper(tree, '/sys/devices/virtual/net/bond0.7', 'br0', true);
    tree.file('/proc/net/route', ROUTES + defaultVia('br0'));
    const [finding] = await usesOf(tree, NIC);
    expect(finding?.evidence).toBe('eth0, through br0, carries the default route');
  });

  it('block when connections of the host leave through them, default route or not', async () => {
    using tree = withNic();
    tree.file(
      '/proc/net/route',
      `${ROUTES}eth0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n`,
    );
    const connection = '   0: 0101000A:0016 0701000A:C001 01 0:0 00:0 0 0 0 2 1\n';
    tree.file('/proc/net/tcp', `  sl  local_address rem_address   st\n${connection}`);
    expect(await usesOf(tree, NIC)).toMatchObject([
      { level: 'block', evidence: 'eth0 carries 1 TCP connections of the host' },
    ]);
  });

  it('do not block for a default route elsewhere', async () => {
    using tree = withNic();
    tree.file('/proc/net/route', ROUTES + defaultVia('eth1'));
    expect(reasons(await usesOf(tree, NIC))).toEqual(['warn in-use.net-up']);
  });

  it('block as a port of a bridge or bond, which serves others', async () => {
    using tree = withNic();
    upper(tree, `${tree.pathOf(NIC)}/net/eth0`, 'br0', true);
    expect(await usesOf(tree, NIC)).toMatchObject([
      { level: 'block', reason: 'in-use.net', evidence: 'eth0 is a port of br0' },
    ]);
  });

  it('are found behind virtio', async () => {
    using tree = new HostTree();
    tree.addFunction('0000:00:03.0', { driver: 'virtio-pci' });
    tree.addChild('0000:00:03.0', 'virtio2/net/eth0', { flags: '0x1003' });
    tree.file('/proc/net/route', ROUTES + defaultVia('eth0'));
    expect(reasons(await usesOf(tree, '0000:00:03.0'))).toEqual(['block in-use.net']);
  });

  it('block when they were moved to another network namespace', async () => {
    using tree = new HostTree();
    tree.addFunction(NIC, { driver: 'igb' });
    tree.directory(`${tree.pathOf(NIC)}/net`);
    expect(reasons(await usesOf(tree, NIC))).toEqual(['block unreadable.net']);
  });

  it('block when the routes cannot be read', async () => {
    using tree = withNic();
    tree.file('/proc/net/route', ROUTES);
    const effects = denying(tree, 'read', '/proc/net/route');
    expect(reasons(await usesOf(tree, NIC, { effects }))).toEqual(['block unreadable.net']);
  });
});

describe('displays', () => {
  const GPU = '0000:01:00.0';

  it('block as the only one', async () => {
    using tree = new HostTree();
    tree.addFunction(GPU, { class: '0x030000', driver: 'amdgpu', bootVga: true });
    tree.addFunction('0000:41:00.0', { class: '0x030200', driver: 'nvidia' });
    expect(reasons(await usesOf(tree, GPU))).toEqual(['block in-use.display']);
    expect(await usesOf(tree, '0000:41:00.0')).toEqual([]);
  });

  it('warn while another one remains', async () => {
    using tree = new HostTree();
    tree.addFunction(GPU, { class: '0x030000', driver: 'amdgpu', bootVga: true });
    tree.addFunction('0000:02:00.0', { class: '0x030000', driver: 'ast', bootVga: false });
    const [finding] = await usesOf(tree, GPU);
    expect(finding).toMatchObject({ level: 'warn', reason: 'in-use.display' });
    expect(finding?.evidence).toContain('0000:02:00.0 remains');
  });

  it('do not count a card that is with VFIO already, on either side', async () => {
    using tree = new HostTree();
    tree.addFunction(GPU, { class: '0x030000', driver: 'amdgpu', bootVga: true });
    tree.addFunction('0000:02:00.0', { class: '0x030000', driver: 'vfio-pci', bootVga: false });
    expect(reasons(await usesOf(tree, GPU))).toEqual(['block in-use.display']);
    expect(await usesOf(tree, '0000:02:00.0')).toEqual([]);
  });

  it('block when the firmware frame buffer is all there is', async () => {
    using tree = new HostTree();
    tree.addFunction(GPU, { class: '0x030000', bootVga: true });
    expect(reasons(await usesOf(tree, GPU))).toEqual(['block in-use.display']);
  });
});

describe('consoles', () => {
  const GPU = '0000:01:00.0';

  function withConsole(driver: string | undefined): HostTree {
    const tree = new HostTree();
    const setup = driver === undefined ? {} : { driver };
    tree.addFunction(GPU, { class: '0x030000', bootVga: true, ...setup });
    tree.addFunction('0000:02:00.0', { class: '0x030000', driver: 'ast', bootVga: false });
    tree.file('/sys/class/vtconsole/vtcon0/name', '(S) dummy device\n');
    tree.file('/sys/class/vtconsole/vtcon0/bind', '0\n');
    tree.file('/sys/class/vtconsole/vtcon1/name', '(M) frame buffer device\n');
    tree.file('/sys/class/vtconsole/vtcon1/bind', '1\n');
    return tree;
  }

  it('block the driver they draw with, until they are taken off it', async () => {
    using tree = withConsole('amdgpu');
    tree.addChild(GPU, 'graphics/fb0');
    const findings = await usesOf(tree, GPU);
    expect(reasons(findings)).toEqual(['block in-use.console', 'warn in-use.display']);
    expect(findings[0]?.remedy).toContain('/sys/class/vtconsole/vtcon1/bind');
    expect(reasons(await usesOf(tree, '0000:02:00.0'))).toEqual(['warn in-use.display']);
    tree.file('/sys/class/vtconsole/vtcon1/bind', '0\n');
    expect(reasons(await usesOf(tree, GPU))).toEqual(['warn in-use.display']);
  });

  it("block the boot VGA under the firmware's frame buffer", async () => {
    using tree = withConsole(undefined);
    tree.addDevice(
      '/sys/devices/platform/efi-framebuffer.0/graphics/fb0',
      {},
      '/sys/class/graphics',
    );
    expect(reasons(await usesOf(tree, GPU))).toContain('block in-use.console');
  });

  it("block a serial card with the kernel's console", async () => {
    using tree = new HostTree();
    tree.addFunction('0000:05:00.0', { class: '0x070002', driver: 'serial' });
    tree.addChild('0000:05:00.0', 'tty/ttyS4');
    const console = tree.addDevice(
      '/sys/devices/virtual/tty/console',
      { active: 'tty0 ttyS4' },
      '/sys/class/tty',
    );
    expect(reasons(await usesOf(tree, '0000:05:00.0'))).toEqual(['block in-use.console']);
    tree.file(`${console}/active`, 'tty0 ttyS0\n');
    expect(await usesOf(tree, '0000:05:00.0')).toEqual([]);
  });
});

describe('device files', () => {
  it('block for an NVIDIA device with users, and name them', async () => {
    using tree = new HostTree();
    tree.addFunction('0000:41:00.0', { class: '0x030200', driver: 'nvidia' });
    tree.file(
      '/proc/driver/nvidia/gpus/0000:41:00.0/information',
      'Model: \t\t NVIDIA H100\nDevice Minor: \t 3\nGPU Excluded:\t No\n',
    );
    tree.addProcess(90, { command: 'nvidia-persiste', files: ['/dev/nvidia3', '/dev/nvidiactl'] });
    tree.addProcess(91, { command: 'python', files: ['/dev/nvidia30'] });
    expect(await usesOf(tree, '0000:41:00.0')).toMatchObject([
      {
        level: 'block',
        reason: 'in-use.open',
        evidence: '/dev/nvidia3 is open in nvidia-persiste (pid 90)',
        remedy: expect.stringContaining('nvidia-persistenced') as string,
      },
    ]);
  });

  it('block for the node all NVIDIA devices share where there is one device, and else warn', async () => {
    using tree = new HostTree();
    const gpus = ['0000:41:00.0', '0000:42:00.0'];
    const add = (bdf: string, minor: number) => {
      tree.addFunction(bdf, { class: '0x030200', driver: 'nvidia' });
      const information = `/proc/driver/nvidia/gpus/${bdf}/information`;
      tree.file(information, `Model: \t\t NVIDIA H100\nDevice Minor: \t ${minor}\n`);
    };
    add(gpus[0] ?? '', 0);
    tree.addProcess(90, { command: 'python', files: ['/dev/nvidia-uvm'] });
    expect(reasons(await usesOf(tree, gpus[0] ?? ''))).toEqual(['block in-use.open']);
    add(gpus[1] ?? '', 1);
    expect(reasons(await usesOf(tree, gpus[0] ?? ''))).toEqual(['warn in-use.open']);
  });

  it('warn for display and sound servers', async () => {
    using tree = new HostTree();
    tree.addFunction('0000:41:00.0', { class: '0x030200', driver: 'amdgpu' });
    tree.addChild('0000:41:00.0', 'drm/renderD129');
    tree.addProcess(90, { command: 'gnome-shell', files: ['/dev/dri/renderD129'] });
    expect(reasons(await usesOf(tree, '0000:41:00.0'))).toEqual(['warn in-use.open']);
    const effects = denying(tree, 'list', '/proc/90/fd');
    expect(reasons(await usesOf(tree, '0000:41:00.0', { effects }))).toEqual([
      'warn unreadable.files',
    ]);
  });
});

describe('other uses', () => {
  it('block bridges of both kinds', async () => {
    using tree = new HostTree();
    tree.addFunction('0000:00:00.0', { class: '0x060000' });
    tree.addFunction('0000:00:01.0', { class: '0x060400', driver: 'pcieport' });
    expect(reasons(await usesOf(tree, '0000:00:00.0'))).toEqual(['block in-use.bridge']);
    expect(reasons(await usesOf(tree, '0000:00:01.0'))).toEqual(['block in-use.bridge']);
  });

  it('block a PF whose VFs exist, and not the VF', async () => {
    using tree = new HostTree();
    tree.addFunction(NIC, { driver: 'igb', totalVfs: 8 });
    tree.addFunction('0000:05:10.0', { driver: 'vfio-pci', physfn: NIC });
    const [finding] = await usesOf(tree, NIC);
    expect(finding).toMatchObject({ level: 'block', reason: 'in-use.sriov' });
    expect(finding?.evidence).toContain('0000:05:10.0 (vfio-pci)');
    expect(await usesOf(tree, '0000:05:10.0')).toEqual([]);
  });

  it('block a group that another VM holds, but not one that this VM holds', async () => {
    using tree = new HostTree();
    tree.addFunction(NIC, { driver: 'vfio-pci', group: 6 });
    tree.addFunction('0000:05:00.1', { driver: 'vfio-pci', group: 6 });
    tree.addProcess(812, { command: 'qemu-kvm', files: ['/dev/vfio/6'] });
    expect(await usesOf(tree, '0000:05:00.1')).toMatchObject([
      { reason: 'in-use.vfio', evidence: '/dev/vfio/6 is open in qemu-kvm (pid 812)' },
    ]);
    expect(await usesOf(tree, '0000:05:00.1', { vmPid: 812 })).toEqual([]);
  });

  it('block the parent of mediated devices', async () => {
    using tree = new HostTree();
    tree.addFunction('0000:00:02.0', { class: '0x038000', driver: 'i915' });
    const uuid = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';
    tree.addChild('0000:00:02.0', uuid, {}, '/sys/bus/mdev/devices');
    const findings = await usesOf(tree, '0000:00:02.0');
    expect(reasons(findings)).toContain('block in-use.mdev');
  });

  it('block a TPM', async () => {
    using tree = new HostTree();
    tree.addFunction('0000:00:1f.5', { class: '0x0c8000', driver: 'tpm_crb' });
    tree.addChild('0000:00:1f.5', 'tpm/tpm0');
    expect(reasons(await usesOf(tree, '0000:00:1f.5'))).toEqual(['block in-use.tpm']);
  });

  it('block the controller of the only keyboard, and warn of what else is plugged in', async () => {
    using tree = new HostTree();
    const xhci = tree.addFunction('0000:00:14.0', { class: '0x0c0330', driver: 'xhci_hcd' });
    tree.addChild(xhci, 'usb1', {}, '/sys/bus/usb/devices');
    tree.addChild(xhci, 'usb1/1-2', {}, '/sys/bus/usb/devices');
    tree.addChild(xhci, 'usb1/1-2/1-2:1.0', {}, '/sys/bus/usb/devices');
    const keyboard = (sysfs: string, handlers: string) =>
      `I: Bus=0003\nN: Name="Keys"\nS: Sysfs=${sysfs}\nH: Handlers=${handlers} \n\n`;
    const own = keyboard(
      `/devices/pci0000:00/${xhci}/usb1/1-2/1-2:1.0/input/input5`,
      'sysrq kbd event5',
    );
    const button = keyboard('/devices/LNXSYSTM:00/LNXPWRBN:00/input/input0', 'kbd event0');
    tree.file('/proc/bus/input/devices', button + own);
    expect(reasons(await usesOf(tree, xhci))).toEqual(['block in-use.input']);
    const ps2 = keyboard('/devices/platform/i8042/serio0/input/input1', 'sysrq kbd leds event1');
    tree.file('/proc/bus/input/devices', button + own + ps2);
    const findings = await usesOf(tree, xhci);
    expect(findings).toMatchObject([
      { level: 'warn', reason: 'in-use.usb', evidence: 'USB devices 1-2 go with it' },
    ]);
  });

  it('find nothing on a spare function', async () => {
    using tree = new HostTree();
    tree.addFunction('0000:41:00.0', { class: '0x030200', driver: 'nvidia', group: 3 });
    expect(await usesOf(tree, '0000:41:00.0')).toEqual([]);
  });
});
