import { known, unknown } from '../../src/known.js';
import { aPort, aVmDevice } from '../support/snapshots.js';
import { cmdline, denied, GIB, noFile, vmOf, type Case } from './case.js';
import { aNode, AMD, INTEL, PID, STATUS, type Change } from './patient.js';

const S390 = 'vendor_id       : IBM/S390\nfeatures\t: esan3 sie\n';
const POWER = 'cpu\t\t: POWER9, altivec supported\n';
const cpu = (text: string) => ({ '/proc/cpuinfo': text });
const wants = (desired: NonNullable<Change['request']>['desired']): Change => ({
  request: { desired },
});
const nested = (value: string) => ({ '/sys/module/kvm_intel/parameters/nested': `${value}\n` });
const NO_NESTED = noFile('/sys/module/kvm_intel/parameters/nested');
const msrs = (ignore: string, report: string) => ({
  '/sys/module/kvm/parameters/ignore_msrs': ignore,
  '/sys/module/kvm/parameters/report_ignored_msrs': report,
});
const boot = (text: string) => ({ '/etc/kernel/cmdline': `${text}\n` });
const sev = (value: string) => ({
  ...cpu(AMD),
  '/sys/module/kvm_amd/parameters/sev': `${value}\n`,
});
const release = (text: string) => ({ '/proc/sys/kernel/osrelease': `${text}\n` });
const IOMMUFD = vmOf({ objects: new Map([['iommufd0', 'iommufd']]) });
const LIMITED = { memlock: { soft: 64n * GIB, hard: 64n * GIB } };

const NODE = '/sys/devices/system/node';
const pages = (node: number, total: number, free: number, size = '2048kB') => ({
  [`${NODE}/node${node}/hugepages/hugepages-${size}/nr_hugepages`]: `${total}\n`,
  [`${NODE}/node${node}/hugepages/hugepages-${size}/free_hugepages`]: `${free}\n`,
});
const onHugePages = (heldKiB: number) => ({
  [`/proc/${PID}/status`]: `${STATUS}VmRSS:\t 1048576 kB\nHugetlbPages:\t ${heldKiB} kB\n`,
});

/** Processor, KVM, IOMMU, memory and kernel: checks that came after those in `cases.ts`. */
export const HOST_CASES: Readonly<Record<string, Case>> = {
  'kvm.nested': {
    bad: { verdict: 'warn', files: nested('N'), ...wants({ kvm: { nested: true } }) },
    unknown: denied('/sys/module/kvm_intel/parameters'),
    also: {
      'off, and nobody asks': { verdict: 'ok', files: nested('N') },
      'without KVM': {
        verdict: 'skip',
        files: noFile('/sys/module/kvm_intel/parameters/nested'),
      },
    },
  },
  'kvm.ppc_hv': {
    ok: { files: cpu(POWER), tree: (tree) => tree.directory('/sys/module/kvm_hv') },
    bad: { verdict: 'warn', files: cpu(POWER) },
    unknown: denied('/proc/cpuinfo'),
    also: { 'on another processor': { verdict: 'skip' } },
  },
  'host.secure_guest': {
    ok: { files: sev('N') },
    bad: { verdict: 'warn', files: sev('Y') },
    unknown: { files: sev('Y'), denied: ['/sys/module/kvm_amd/parameters'] },
    also: {
      'on Intel': { verdict: 'skip' },
      's390x with the feature': {
        verdict: 'ok',
        files: { ...cpu(S390), '/sys/firmware/uv/prot_virt_host': '1\n' },
      },
      's390x without it, asked for': {
        verdict: 'warn',
        files: { ...cpu(S390), ...cmdline('prot_virt=1') },
      },
    },
  },
  'iommu.firmware.s390': {
    ok: { files: cpu(S390) },
    bad: undefined,
    unknown: { files: cpu(S390), denied: ['/sys/bus/pci/devices'] },
    also: { 'on Intel': { verdict: 'skip' } },
  },
  'iommu.configured_vs_running': {
    bad: { verdict: 'fail', files: { ...cmdline('iommu=off'), ...boot('iommu=pt') } },
    unknown: denied('/etc/kernel/cmdline'),
    also: {
      'configured, and not yet booted': {
        verdict: 'warn',
        files: boot('quiet intel_iommu=on'),
      },
      'typed at the boot menu': { verdict: 'warn', files: cmdline('quiet intel_iommu=on') },
      'the same in another spelling': {
        verdict: 'ok',
        files: { ...cmdline('vfio_pci.ids=10de:2330'), ...boot('vfio-pci.ids=10de:2330') },
      },
      'no mechanism that is known': { verdict: 'unknown', files: noFile('/etc/kernel/cmdline') },
      'a stand-in tree': { verdict: 'unknown', request: { setup: undefined } },
    },
  },
  'iommu.type': {
    bad: {
      verdict: 'warn',
      files: { '/sys/kernel/iommu_groups/17/type': 'identity\n' },
      ...wants({ iommu: { mode: 'strict' } }),
    },
    unknown: denied('/sys/kernel/iommu_groups/17/type'),
    also: {
      'passed through, and nobody minds': {
        verdict: 'ok',
        files: { '/sys/kernel/iommu_groups/17/type': 'identity\n' },
      },
      'without a group': {
        verdict: 'skip',
        tree: (tree) => tree.remove(`${tree.pathOf('0000:3b:00.0')}/iommu_group`),
      },
    },
  },
  'mem.memlock.iommufd': {
    ok: IOMMUFD,
    bad: { verdict: 'fail', ...IOMMUFD, memlock: { soft: 65_536n, hard: 65_536n } },
    unknown: { ...IOMMUFD, denied: [`/proc/${PID}/status`] },
    also: {
      'two VMs of one user': {
        verdict: 'warn',
        ...IOMMUFD,
        ...LIMITED,
        tree: (tree) => tree.addProcess(4300, { command: 'qemu-system-x86', status: STATUS }),
      },
      'a VM of another user': {
        verdict: 'ok',
        ...IOMMUFD,
        ...LIMITED,
        tree: (tree) =>
          tree.addProcess(4300, {
            command: 'qemu-system-x86',
            status: STATUS.replaceAll('107\t107\t107\t107', '0\t0\t0\t0'),
          }),
      },
      'without iommufd': { verdict: 'skip' },
    },
  },
  'mem.hugepages': {
    ok: { files: pages(0, 512, 512) },
    bad: {
      verdict: 'fail',
      files: pages(0, 0, 0),
      ...wants({ hugepages: { '2M': { '0': 512 } } }),
    },
    unknown: { files: pages(0, 512, 512), denied: [`${NODE}/node0/hugepages`] },
    also: {
      'enough, on another node': {
        verdict: 'warn',
        files: { ...pages(0, 0, 0), ...pages(1, 512, 512) },
        ...wants({ hugepages: { '2M': { '0': 512 } } }),
      },
      'as many as are wanted': {
        verdict: 'ok',
        files: { ...pages(0, 4, 4, '1048576kB') },
        ...wants({ hugepages: { '1G': { '0': 4 } } }),
      },
      'enough, and no hugetlbfs': {
        verdict: 'fail',
        files: { ...pages(0, 512, 512), '/proc/mounts': 'proc /proc proc rw 0 0\n' },
        ...wants({ hugepages: { '2M': { '0': 512 } } }),
      },
      'a VM that has still to take more than there are': {
        verdict: 'fail',
        files: { ...pages(0, 1024, 10), ...onHugePages(1 << 20) },
      },
      'a VM that has them all': {
        verdict: 'ok',
        files: { ...pages(0, 2048, 0), ...onHugePages(4 << 20) },
      },
      'a VM of unknown RAM': {
        verdict: 'unknown',
        files: { ...pages(0, 1024, 10), ...onHugePages(1 << 20) },
        ...vmOf({ ramBytes: unknown('QEMU does not tell') }),
      },
    },
  },
  'mem.balloon': {
    bad: {
      verdict: 'warn',
      ...vmOf({}, [aPort('rp0')], [aVmDevice('b0', 'rp0', { type: 'virtio-balloon-pci' })]),
    },
    unknown: undefined,
    also: {
      'virtio-mem': {
        verdict: 'warn',
        ...vmOf({}, [aPort('rp0')], [aVmDevice('m0', 'rp0', { type: 'virtio-mem-pci' })]),
      },
    },
  },
  'kernel.version': {
    bad: {
      verdict: 'warn',
      files: { ...release('6.1.0-18-amd64'), ...cmdline('pci=config_acs=1@pci:0:0') },
    },
    unknown: denied('/proc/sys/kernel/osrelease'),
    also: {
      'new enough for it': {
        verdict: 'ok',
        files: { ...release('6.12.1'), ...cmdline('pci=config_acs=1@pci:0:0') },
      },
      'too old for iommufd': { verdict: 'warn', ...IOMMUFD, files: release('5.15.0') },
    },
  },
};

/** Verdicts of the checks in `cases.ts` beyond those named there. */
export const HOST_ALSO: Readonly<Record<string, NonNullable<Case['also']>>> = {
  'cpu.virt': {
    'KVM runs, whatever the flags say': {
      verdict: 'ok',
      files: cpu(INTEL.replace('vmx ', '')),
      tree: (tree) => tree.directory('/sys/devices/virtual/misc/kvm'),
    },
    'a processor without such a flag': { verdict: 'skip', files: cpu(POWER) },
  },
  'kvm.module': {
    'not loaded': {
      verdict: 'warn',
      files: {
        ...NO_NESTED,
        '/lib/modules/6.12.95/modules.dep': 'kernel/arch/x86/kvm/kvm-intel.ko.xz: \n',
      },
      tree: (tree) => tree.remove('/sys/module/kvm_intel'),
    },
    blacklisted: {
      verdict: 'fail',
      files: {
        ...cmdline('modprobe.blacklist=kvm-intel'),
        ...NO_NESTED,
        '/lib/modules/6.12.95/modules.dep': 'kernel/arch/x86/kvm/kvm-intel.ko.xz: \n',
      },
      tree: (tree) => tree.remove('/sys/module/kvm_intel'),
    },
  },
  'kvm.access': {
    'somebody who is no QEMU': {
      verdict: 'warn',
      nodes: { '/dev/kvm': { ...aNode(), mode: 0o600 } },
      request: { vm: undefined },
    },
    'by its access control list': {
      verdict: 'ok',
      nodes: { '/dev/kvm': { ...aNode(), mode: 0o660, gid: 104 } },
      acls: { '/dev/kvm': 'user::rw-\nuser:107:rw-\ngroup::rw-\nmask::rw-\nother::---\n' },
    },
    'not in its access control list': {
      verdict: 'fail',
      nodes: { '/dev/kvm': { ...aNode(), mode: 0o660, gid: 104 } },
      acls: { '/dev/kvm': 'user::rw-\nuser:1000:rw-\ngroup::rw-\nmask::rw-\nother::---\n' },
    },
  },
  'kvm.ignore_msrs': {
    'as wanted': {
      verdict: 'ok',
      files: msrs('Y', 'N'),
      ...wants({ kvm: { ignoreMsrs: true } }),
    },
    'wanted, configured and not running': {
      verdict: 'warn',
      files: { ...msrs('N', 'N'), ...cmdline('kvm.ignore_msrs=1') },
      ...wants({ kvm: { ignoreMsrs: true } }),
    },
  },
  'kvm.report_ignored_msrs': {
    'wanted off, and set nowhere': {
      verdict: 'fail',
      files: msrs('Y', 'Y'),
      ...wants({ kvm: { reportIgnoredMsrs: false } }),
    },
    'wanted off, configured and not running': {
      verdict: 'warn',
      files: {
        ...msrs('Y', 'Y'),
        '/etc/modprobe.d/kvm.conf': 'options kvm report_ignored_msrs=0\n',
      },
      ...wants({ kvm: { reportIgnoredMsrs: false } }),
    },
  },
  'iommu.active': {
    'no groups at all': {
      verdict: 'fail',
      tree: (tree) => tree.remove('/sys/kernel/iommu_groups'),
      files: noFile(
        '/sys/kernel/iommu_groups/17/type',
        '/sys/kernel/iommu_groups/17/reserved_regions',
      ),
    },
  },
  'iommu.cmdline': {
    'interrupt remapping switched off': { verdict: 'warn', files: cmdline('intremap=off') },
    'an option that is none': { verdict: 'warn', files: cmdline('amd_iommu=on') },
    'two values': { verdict: 'warn', files: cmdline('intel_iommu=on intel_iommu=igfx_off') },
    'iommu=soft': { verdict: 'fail', files: cmdline('iommu=soft') },
  },
  'iommu.intremap': {
    'absent, and allowed': {
      verdict: 'warn',
      files: {
        '/proc/interrupts': ' 24: 0 PCI-MSI 1-edge eth0\n',
        '/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts': 'Y\n',
      },
    },
    'not x86': { verdict: 'skip', files: cpu(S390) },
  },
  'iommu.unsafe': {
    'where isolation is required': {
      verdict: 'fail',
      files: cmdline('pcie_acs_override=downstream'),
      ...wants({ isolation: { require: true } }),
    },
    'unsafe interrupts': {
      verdict: 'warn',
      files: { '/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts': 'Y\n' },
    },
  },
  'iommu.rmrr': {
    relaxable: {
      verdict: 'warn',
      files: {
        '/sys/kernel/iommu_groups/17/reserved_regions': '0x1000 0x1fff direct-relaxable\n',
      },
    },
  },
  'mem.free': {
    'hardly any left': {
      verdict: 'warn',
      files: { '/proc/meminfo': 'MemAvailable: 3670016 kB\n' },
    },
  },
  'mem.memlock': {
    'a QEMU that may lock anything': {
      verdict: 'ok',
      memlock: { soft: 65_536n, hard: 65_536n },
      files: {
        [`/proc/${PID}/status`]: STATUS.replace('0000000000000000', '0000000000004000'),
      },
    },
  },
  lockdown: {
    'that keeps an unsigned kvmfr out': {
      verdict: 'fail',
      files: {
        ...cmdline('kvmfr.static_size_mb=128'),
        '/sys/kernel/security/lockdown': 'none [integrity] confidentiality\n',
      },
      programs: { 'modinfo -F signer kvmfr': '\n' },
    },
    'that a signed kvmfr does not mind': {
      verdict: 'warn',
      files: {
        ...cmdline('kvmfr.static_size_mb=128'),
        '/sys/kernel/security/lockdown': 'none [integrity] confidentiality\n',
      },
      programs: { 'modinfo -F signer kvmfr': 'somebody\n' },
    },
  },
  split_lock: {
    'that is wanted off': {
      verdict: 'fail',
      files: cpu(INTEL.replace('fpu', 'split_lock_detect')),
      ...wants({ kvmfr: { sizesMb: [128], splitLockDetectOff: true } }),
    },
    'that is off': {
      verdict: 'ok',
      files: {
        ...cpu(INTEL.replace('fpu', 'split_lock_detect')),
        ...cmdline('split_lock_detect=off'),
      },
    },
  },
  'systemd.udev_owner': {
    'with a release that still takes it': {
      verdict: 'warn',
      files: {
        '/etc/udev/rules.d/10-gpu.rules': 'SUBSYSTEM=="vfio", OWNER="ann"\n',
        '/usr/lib/systemd/libsystemd-shared-257.1-1.so': '',
      },
    },
  },
  'vm.hotplug': {
    'for a device at the start of the VM': {
      verdict: 'warn',
      request: {
        ...vmOf({}, [aPort('rp0', { mechanism: known('none') })]).request,
        profile: 'static',
      },
    },
  },
};
