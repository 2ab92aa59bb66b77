import { known, unknown } from '../../src/known.js';
import { aPort, aVm, aVmDevice } from '../support/snapshots.js';
import type { HostTree } from '../host/sysfs-tree.js';
import { cmdline, denied, GIB, noFile, path, vmOf, type Case } from './case.js';
import { aNode, AMD, ARM, DEVICE, INTEL, PID, type Change } from './patient.js';

const GONE_FOLDER = '/lib/modules/6.12.95';
/** On a VM that is not proven to run here. */
export const ELSEWHERE: Change = {
  request: { vm: aVm([], [], { identity: { kind: 'address', address: 'tcp:host:1' } }) },
};

/** The device as the guards and the group see it cannot be read as a whole. */
const UNREADABLE_DEVICE = denied(path('subsystem_vendor'));

const withNet = (flags: string) => (tree: HostTree) => {
  tree.addChild(DEVICE, 'net/eth7', { flags, ifindex: '7', operstate: 'up' });
};

const KVMFR = cmdline('kvmfr.static_size_mb=128');
const kvmfrLoaded = (tree: HostTree) => tree.directory('/sys/module/kvmfr');
const RULES = '/etc/udev/rules.d/10-gpu.rules';
const UNIT = '/sys/class/iommu/dmar0/type';
const msrs = (ignore: string, report: string) => ({
  '/sys/module/kvm/parameters/ignore_msrs': ignore,
  '/sys/module/kvm/parameters/report_ignored_msrs': report,
});

export const CASES: Readonly<Record<string, Case>> = {
  'cpu.virt': {
    bad: { verdict: 'fail', files: { '/proc/cpuinfo': INTEL.replace('vmx ', '') } },
    unknown: denied('/proc/cpuinfo'),
  },
  'kvm.module': {
    bad: {
      verdict: 'fail',
      files: noFile('/sys/module/kvm_intel/parameters/nested'),
      tree: (tree) => tree.remove('/sys/module/kvm_intel'),
    },
    unknown: { denied: ['/sys/module/kvm_intel'] },
  },
  'kvm.device': {
    bad: { verdict: 'fail', nodes: { '/dev/kvm': null } },
    unknown: denied('/dev/kvm'),
  },
  'kvm.access': {
    bad: { verdict: 'fail', nodes: { '/dev/kvm': aNode({ mode: 0o600 }) } },
    unknown: { nodes: { '/dev/kvm': aNode({ mode: 0o660, gid: 104 }) } },
  },
  'kvm.ignore_msrs': {
    bad: { verdict: 'warn', files: msrs('Y', 'N') },
    unknown: denied('/sys/module/kvm/parameters'),
  },
  'kvm.report_ignored_msrs': {
    bad: { verdict: 'warn', files: msrs('Y', 'Y') },
    unknown: denied('/sys/module/kvm/parameters'),
  },
  'host.vhost_net': {
    bad: { verdict: 'warn', nodes: { '/dev/vhost-net': null } },
    unknown: denied('/dev/vhost-net'),
  },
  'host.tun': {
    bad: { verdict: 'warn', nodes: { '/dev/net/tun': null } },
    unknown: denied('/dev/net'),
  },
  'host.cgroup': {
    bad: { verdict: 'warn', files: { '/sys/fs/cgroup/cgroup.controllers': 'cpuset cpu io\n' } },
    unknown: denied('/sys/fs/cgroup/cgroup.controllers'),
  },
  'iommu.firmware.intel': {
    bad: { verdict: 'fail', files: noFile('/sys/firmware/acpi/tables/DMAR', UNIT) },
    unknown: denied('/sys/firmware/acpi/tables'),
  },
  'iommu.firmware.amd': {
    ok: { files: { '/proc/cpuinfo': AMD } },
    bad: {
      verdict: 'fail',
      files: { '/proc/cpuinfo': AMD, ...noFile('/sys/firmware/acpi/tables/IVRS', UNIT) },
    },
    unknown: { files: { '/proc/cpuinfo': AMD }, denied: ['/sys/firmware/acpi/tables'] },
  },
  'iommu.firmware.arm': {
    ok: { files: { '/proc/cpuinfo': ARM } },
    bad: {
      verdict: 'fail',
      files: { '/proc/cpuinfo': ARM, ...noFile('/sys/firmware/acpi/tables/IORT', UNIT) },
    },
    unknown: { files: { '/proc/cpuinfo': ARM }, denied: ['/sys/firmware/acpi/tables'] },
  },
  'iommu.active': {
    bad: { verdict: 'warn', files: noFile(UNIT) },
    unknown: denied('/sys/class/iommu'),
  },
  'iommu.cmdline': {
    bad: { verdict: 'fail', files: cmdline('intel_iommu=on,sm_on iommu=off') },
    unknown: denied('/proc/cmdline'),
  },
  'iommu.intremap': {
    bad: { verdict: 'fail', files: { '/proc/interrupts': ' 24: 0 PCI-MSI 1-edge eth0\n' } },
    unknown: denied('/proc/interrupts'),
  },
  'iommu.unsafe': {
    bad: { verdict: 'warn', files: cmdline('pcie_acs_override=downstream') },
    unknown: denied('/proc/cmdline'),
  },
  'iommu.rmrr': {
    bad: {
      verdict: 'fail',
      files: { '/sys/kernel/iommu_groups/17/reserved_regions': '0x1000 0x1fff direct\n' },
    },
    unknown: denied('/sys/kernel/iommu_groups/17/reserved_regions'),
  },
  'vfio.modules': {
    bad: {
      verdict: 'fail',
      files: cmdline('module_blacklist=nouveau,vfio-pci'),
      tree: (tree) => tree.remove('/sys/module/vfio_pci'),
    },
    unknown: denied('/sys/module/vfio_iommu_type1'),
  },
  'vfio.container': {
    bad: { verdict: 'warn', nodes: { '/dev/vfio/vfio': aNode({ mode: 0o600 }) } },
    unknown: denied('/dev/vfio'),
  },
  'vfio.iommufd': {
    bad: { verdict: 'warn', nodes: { '/dev/iommu': aNode({ mode: 0o600 }) } },
    unknown: denied(`/proc/${PID}/status`),
  },
  'vfio.group_perm': {
    bad: { verdict: 'fail', nodes: { '/dev/vfio/17': aNode({ mode: 0o600 }) } },
    unknown: denied('/dev/vfio/17'),
  },
  'vfio.seccomp_ns': {
    bad: { verdict: 'fail', files: noFile(`/proc/${PID}/root/dev/vfio/vfio`) },
    unknown: denied(`/proc/${PID}/root`),
  },
  'mem.memlock': {
    bad: { verdict: 'fail', memlock: { soft: 65_536n, hard: 65_536n } },
    unknown: vmOf({ ramBytes: unknown('QEMU does not tell') }),
  },
  'mem.free': {
    bad: { verdict: 'fail', files: { '/proc/meminfo': 'MemAvailable: 1048576 kB\n' } },
    unknown: denied('/proc/meminfo'),
  },
  'mem.dma_entry_limit': {
    bad: {
      verdict: 'warn',
      files: { '/sys/module/vfio_iommu_type1/parameters/dma_entry_limit': '1024\n' },
    },
    unknown: denied('/sys/module/vfio_iommu_type1/parameters'),
    also: {
      'fewer than the VM has memory backends': {
        verdict: 'fail',
        files: { '/sys/module/vfio_iommu_type1/parameters/dma_entry_limit': '1\n' },
        ...vmOf({
          objects: new Map([
            ['m0', 'memory-backend-ram'],
            ['m1', 'memory-backend-memfd'],
          ]),
        }),
      },
      'virtio-mem, which is mapped block by block': {
        verdict: 'warn',
        ...vmOf({}, [aPort('rp0')], [aVmDevice('m0', 'rp0', { type: 'virtio-mem-pci' })]),
      },
    },
  },
  lockdown: {
    bad: {
      verdict: 'warn',
      files: { '/sys/kernel/security/lockdown': 'none [integrity] confidentiality\n' },
    },
    unknown: denied('/sys/kernel/security'),
  },
  secureboot: {
    bad: { verdict: 'warn', files: { [efi()]: '\u0006\0\0\0\u0001' } },
    unknown: { files: { [efi()]: '\u0006\0\0\0\u0001' }, denied: [efi()] },
  },
  split_lock: {
    bad: { verdict: 'warn', files: { '/proc/cpuinfo': INTEL.replace('fpu', 'split_lock_detect') } },
    unknown: denied('/proc/cpuinfo'),
  },
  'kvmfr.module': {
    ok: { files: KVMFR, tree: kvmfrLoaded },
    bad: { verdict: 'fail', files: KVMFR },
    unknown: { files: KVMFR, denied: ['/sys/module/kvmfr'] },
  },
  'kvmfr.device': {
    ok: { files: KVMFR, nodes: { '/dev/kvmfr0': aNode() } },
    bad: { verdict: 'fail', files: KVMFR, nodes: { '/dev/kvmfr0': aNode({ kind: 'file' }) } },
    unknown: { files: KVMFR, denied: ['/dev/kvmfr0'] },
  },
  'kvmfr.size': {
    ok: { files: KVMFR },
    bad: {
      verdict: 'warn',
      files: { ...KVMFR, '/etc/modprobe.d/kvmfr.conf': 'options kvmfr static_size_mb=64\n' },
    },
    unknown: {
      files: { '/etc/modprobe.d/kvmfr.conf': 'options kvmfr static_size_mb=64\n' },
      denied: ['/etc/modprobe.d/kvmfr.conf'],
    },
  },
  'systemd.udev_owner': {
    bad: {
      verdict: 'fail',
      files: {
        [RULES]: 'SUBSYSTEM=="vfio", OWNER="ann"\n',
        '/usr/lib/systemd/libsystemd-shared-258.1-1.so': '',
      },
    },
    unknown: denied('/etc/udev/rules.d'),
  },
  'dev.exists': {
    bad: { verdict: 'fail', request: { device: '0000:99:00.0' } },
    unknown: denied('/sys/bus/pci/devices'),
  },
  'dev.quirk_class': {
    bad: { verdict: 'fail', device: { class: '0x060400' } },
    unknown: denied(path('class')),
  },
  'dev.group': {
    bad: { verdict: 'fail', tree: (tree) => tree.remove(`${tree.pathOf(DEVICE)}/iommu_group`) },
    unknown: denied(path('iommu_group')),
  },
  'dev.group_viable': {
    bad: {
      verdict: 'fail',
      tree: (tree) => void tree.addFunction('0000:3b:00.1', { group: 17, driver: 'snd_hda_intel' }),
    },
    unknown: UNREADABLE_DEVICE,
  },
  'dev.companions': {
    bad: { verdict: 'warn', tree: (tree) => void tree.addFunction('0000:3b:00.1', { group: 17 }) },
    unknown: denied(path('iommu_group')),
  },
  'dev.dup_ids': {
    bad: {
      verdict: 'warn',
      tree: (tree) =>
        void tree.addFunction('0000:af:00.0', { vendor: '0x10de', device: '0x2330', group: 18 }),
    },
    unknown: UNREADABLE_DEVICE,
  },
  'dev.driver': {
    bad: { verdict: 'warn', device: { driver: 'nouveau' } },
    unknown: denied(path('driver')),
  },
  'dev.variant': {
    bad: {
      verdict: 'warn',
      files: {
        [`${GONE_FOLDER}/modules.alias`]:
          'alias vfio_pci:v000010DEd00002330sv*sd*bc*sc*i* nvgrace_gpu_vfio_pci\n',
      },
    },
    unknown: denied(`${GONE_FOLDER}/modules.alias`),
  },
  'dev.denylist': {
    bad: { verdict: 'fail', device: { vendor: '0x8086', device: '0x37c8' } },
    unknown: denied(path('device')),
  },
  'dev.override': {
    bad: { verdict: 'fail', device: { override: 'no-such-driver' } },
    unknown: denied(path('driver_override')),
  },
  'dev.in_use.net': {
    bad: { verdict: 'warn', tree: withNet('0x1003') },
    unknown: { tree: withNet('0x1003'), denied: ['/sys/class/net'] },
  },
  'dev.in_use.block': {
    bad: { verdict: 'warn', tree: withDisk },
    unknown: { tree: withDisk, denied: ['/proc/self/mountinfo'] },
  },
  'dev.in_use.swap': {
    bad: {
      verdict: 'fail',
      tree: withDisk,
      files: { '/proc/swaps': 'Filename Type Size Used Priority\n/dev/nvme0n1 partition 1 0 -2\n' },
      nodes: { '/dev/nvme0n1': aNode({ kind: 'block', rdev: { major: 259, minor: 0 } }) },
    },
    unknown: { tree: withDisk, denied: ['/proc/swaps'] },
  },
  'dev.in_use.files': {
    bad: { verdict: 'fail', tree: withOpenDisk },
    unknown: { tree: withDisk, denied: ['/proc/1/fd'] },
  },
  'dev.last_display': {
    bad: { verdict: 'fail', device: { class: '0x030000', bootVga: true }, tree: withScreen },
    unknown: UNREADABLE_DEVICE,
  },
  'dev.in_use.console': {
    bad: {
      verdict: 'fail',
      device: { class: '0x070002', driver: 'serial' },
      tree: withSerial,
    },
    unknown: {
      device: { class: '0x070002', driver: 'serial' },
      tree: withSerial,
      denied: ['/sys/class/tty'],
    },
  },
  'dev.in_use.usb': {
    bad: { verdict: 'warn', tree: withUsb },
    unknown: { tree: withUsb, denied: ['/sys/bus/usb'] },
  },
  'dev.in_use.tpm': {
    bad: { verdict: 'fail', tree: (tree) => void tree.addChild(DEVICE, 'tpm/tpm0') },
    unknown: denied('/sys/class/tpm'),
  },
  'dev.in_use.vfio': {
    bad: {
      verdict: 'fail',
      tree: (tree) => tree.addProcess(5555, { command: 'qemu', files: ['/dev/vfio/17'] }),
    },
    unknown: denied('/proc/1/fd'),
  },
  'dev.sriov': {
    bad: {
      verdict: 'fail',
      tree: (tree) =>
        void tree.addFunction('0000:3b:01.0', { group: 19, device: '0x2331', physfn: DEVICE }),
    },
    unknown: UNREADABLE_DEVICE,
  },
  'dev.in_use.mdev': {
    bad: {
      verdict: 'fail',
      tree: (tree) =>
        void tree.addDevice(
          `${tree.pathOf(DEVICE)}/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001`,
          {},
          '/sys/bus/mdev/devices',
        ),
    },
    unknown: UNREADABLE_DEVICE,
  },
  'dev.boot_vga': {
    bad: { verdict: 'warn', device: { class: '0x030000', bootVga: true } },
    unknown: { device: { bootVga: true }, denied: [path('boot_vga')] },
  },
  'dev.reset': {
    bad: { verdict: 'warn', device: { resetMethod: 'bus' } },
    unknown: denied(path('reset_method')),
  },
  'dev.power': {
    bad: {
      verdict: 'warn',
      tree: (tree) => tree.file(`${tree.pathOf(DEVICE)}/power_state`, 'D3cold\n'),
    },
    unknown: denied(path('power_state')),
  },
  'vm.hotplug': {
    bad: { verdict: 'fail', ...vmOf({}, [aPort('rp0', { mechanism: known('none') })]) },
    unknown: vmOf({}, [aPort('rp0', { mechanism: unknown('not read') })]),
  },
  'dev.bar': {
    bad: { verdict: 'fail', device: { resource: bar(64n * GIB) } },
    unknown: {
      device: { resource: bar(GIB) },
      ...vmOf({}, [aPort('rp0', { prefetchableWindow: unknown('not placed') })]),
    },
  },
};

function efi(): string {
  return '/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c';
}

/** BAR 0, 64-bit prefetchable. */
function bar(sizeBytes: bigint): string {
  const base = 1n << 40n;
  const hex = (value: bigint) => `0x${value.toString(16).padStart(16, '0')}`;
  return `${hex(base)} ${hex(base + sizeBytes - 1n)} 0x000000000014220c`;
}

function withDisk(tree: HostTree): void {
  tree.addChild(DEVICE, 'nvme/nvme0/nvme0n1', { dev: '259:0' }, '/sys/class/block');
}

function withOpenDisk(tree: HostTree): void {
  withDisk(tree);
  tree.addProcess(6000, { command: 'fio', files: ['/dev/nvme0n1'] });
}

function withScreen(tree: HostTree): void {
  tree.setDriver(DEVICE, 'nouveau');
  tree.addChild(DEVICE, 'drm/card0');
}

function withSerial(tree: HostTree): void {
  tree.addChild(DEVICE, 'tty/ttyS4', { dev: '4:68' });
  tree.addDevice('/sys/devices/virtual/tty/console', { active: 'tty0 ttyS4' }, '/sys/class/tty');
}

function withUsb(tree: HostTree): void {
  tree.addDevice(
    `${tree.pathOf(DEVICE)}/usb3/3-1`,
    { idVendor: '046d', product: 'Disk', bDeviceClass: '00' },
    '/sys/bus/usb/devices',
  );
}
