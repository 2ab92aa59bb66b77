import { cmdline, denied, noFile, vmOf, type Case } from './case.js';
import { aNode, PID, type Change } from './patient.js';

const RELEASE = '6.12.95';
const MODULES = `/lib/modules/${RELEASE}`;
const LISTING = `lsinitramfs /boot/initrd.img-${RELEASE}`;
const EARLY = cmdline('vfio-pci.ids=10de:2330');
const NODE = '/dev/vfio/17';
const IOMMUFD = vmOf({ objects: new Map([['iommufd0', 'iommufd']]) });
const noModule = (name: string): Change => ({ tree: (tree) => tree.remove(`/sys/module/${name}`) });
const cgroup = (line: string) => ({ [`/proc/${PID}/cgroup`]: `${line}\n` });
const V1 = '/sys/fs/cgroup/devices/vm/devices.list';
const LIBVIRT_GROUP = cgroup('0::/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator');
const SERVICE = cgroup('0::/system.slice/vm.service');
const UNIT = '/etc/systemd/system/vm.service';
const QEMU_CONF = '/etc/libvirt/qemu.conf';
const AUDIT = '/var/log/audit/audit.log';
const ENFORCING = { '/sys/fs/selinux/enforce': '1' };
const PROFILE = 'libvirt-83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';
const CONFINED = {
  '/sys/kernel/security/apparmor/profiles': `${PROFILE} (enforce)\n`,
  [`/proc/${PID}/attr/current`]: `${PROFILE} (enforce)\n`,
};

/** What keeps QEMU from VFIO, or lets it. */
export const VFIO_CASES: Readonly<Record<string, Case>> = {
  'vfio.initramfs': {
    ok: { files: EARLY },
    bad: { verdict: 'fail', files: EARLY, programs: { [LISTING]: 'usr/lib/modules/nvme.ko\n' } },
    unknown: { files: EARLY, programs: { [LISTING]: null } },
    also: {
      'nobody asks for early binding': { verdict: 'skip' },
      'vfio_pci is built in': {
        verdict: 'ok',
        files: {
          ...EARLY,
          [`${MODULES}/modules.builtin`]: 'kernel/drivers/vfio/pci/vfio-pci.ko\n',
        },
        programs: { [LISTING]: '' },
        ...noModule('vfio_pci'),
      },
      'by a rule for the address': {
        verdict: 'fail',
        files: { '/etc/udev/rules.d/60-qmplug-vfio.rules': '' },
        programs: { [LISTING]: '' },
      },
      'by the first driver of dracut': {
        verdict: 'fail',
        files: cmdline('rd.driver.pre=vfio-pci'),
        programs: { [LISTING]: '' },
      },
      'by an option of the module': {
        verdict: 'fail',
        files: { '/etc/modprobe.d/vfio.conf': 'options vfio-pci ids=10de:2330\n' },
        programs: { [LISTING]: '' },
      },
      'as the desired state has it': {
        verdict: 'fail',
        programs: { [LISTING]: '' },
        request: { desired: { early: [{ device: '0000:3b:00.0', method: 'bdf-rule' }] } },
      },
      'no image at all': {
        verdict: 'unknown',
        files: { ...EARLY, ...noFile(`/boot/initrd.img-${RELEASE}`) },
      },
      'a stand-in tree': { verdict: 'unknown', files: EARLY, request: { setup: undefined } },
    },
  },
  'vfio.cdev': {
    bad: { verdict: 'fail', ...IOMMUFD, nodes: { '/dev/iommu': null } },
    unknown: denied('/dev/iommu'),
    also: { 'neither there nor asked for': { verdict: 'ok', nodes: { '/dev/iommu': null } } },
  },
  'vfio.cgroup': {
    bad: { verdict: 'fail', files: LIBVIRT_GROUP },
    unknown: denied(`/proc/${PID}/cgroup`),
    also: {
      'a VM of libvirt, whose list has the node': {
        verdict: 'ok',
        files: {
          ...LIBVIRT_GROUP,
          [QEMU_CONF]: `cgroup_device_acl = [ "/dev/null", "${NODE}" ]\n`,
        },
      },
      'a list that cannot be read': {
        verdict: 'unknown',
        files: { ...LIBVIRT_GROUP, [QEMU_CONF]: 'cgroup_device_acl = [ what\n' },
      },
      'a service that filters nothing': {
        verdict: 'ok',
        files: { ...SERVICE, [UNIT]: '[Service]\nExecStart=/usr/bin/qemu\n' },
      },
      'a service that filters': {
        verdict: 'fail',
        files: { ...SERVICE, [UNIT]: '[Service]\nDevicePolicy=closed\n' },
      },
      'a service that filters, and a drop-in that lists the node': {
        verdict: 'ok',
        files: {
          ...SERVICE,
          [UNIT]: '[Service]\nDevicePolicy=closed\n',
          [`${UNIT}.d/vfio.conf`]: `[Service]\nDeviceAllow=${NODE} rw\n`,
        },
      },
      'a node that may be read only': {
        verdict: 'fail',
        files: { ...SERVICE, [UNIT]: `[Service]\nDeviceAllow=${NODE} r\n` },
      },
      'a group that nobody knows': { verdict: 'unknown', files: cgroup('0::/somewhere') },
      'the first version, everything allowed': {
        verdict: 'ok',
        files: { ...cgroup('4:devices:/vm'), [V1]: 'a *:* rwm\n' },
      },
      'the first version, without the node': {
        verdict: 'fail',
        files: { ...cgroup('4:devices:/vm'), [V1]: 'c 1:3 rwm\nc 10:197 rw\n' },
      },
      'the first version, with the node': {
        verdict: 'ok',
        files: { ...cgroup('4:devices:/vm'), [V1]: 'c 1:3 rwm\nc 10:196 rw\n' },
      },
      'the first version, and no node yet': {
        verdict: 'unknown',
        nodes: { [NODE]: null },
        files: { ...cgroup('4:devices:/vm'), [V1]: 'c 1:3 rwm\n' },
      },
    },
  },
  'vfio.selinux': {
    bad: {
      verdict: 'warn',
      files: ENFORCING,
      programs: { [`stat -c %C -- ${NODE}`]: 'system_u:object_r:device_t:s0\n' },
    },
    unknown: denied('/sys/fs/selinux'),
    also: {
      'enforcing, and of the right type': { verdict: 'ok', files: ENFORCING },
      permissive: { verdict: 'ok', files: { '/sys/fs/selinux/enforce': '0' } },
      'a refusal in the log': {
        verdict: 'fail',
        files: {
          ...ENFORCING,
          [AUDIT]: `type=AVC msg=audit(1.2:3): avc:  denied  { open } for pid=1 comm="qemu" path="${NODE}"\n`,
        },
      },
      'no node yet': { verdict: 'skip', files: ENFORCING, nodes: { [NODE]: null } },
      'a label that cannot be read': {
        verdict: 'unknown',
        files: ENFORCING,
        programs: { [`stat -c %C -- ${NODE}`]: null },
      },
    },
  },
  'vfio.apparmor': {
    bad: { verdict: 'warn', files: CONFINED },
    unknown: { files: CONFINED, denied: [`/proc/${PID}/attr`] },
    also: {
      'a rule of the VM': {
        verdict: 'ok',
        files: {
          ...CONFINED,
          [`/etc/apparmor.d/libvirt/${PROFILE}.files`]: '  "/dev/vfio/[0-9]*" rw,\n',
        },
      },
      'a rule that only reads': {
        verdict: 'warn',
        files: {
          ...CONFINED,
          '/etc/apparmor.d/local/abstractions/libvirt-qemu': '/dev/vfio/* r,\n',
        },
      },
      'a local rule': {
        verdict: 'ok',
        files: {
          ...CONFINED,
          '/etc/apparmor.d/local/abstractions/libvirt-qemu': '/dev/vfio/* rw,\n',
        },
      },
      'a profile that only complains': {
        verdict: 'ok',
        files: { ...CONFINED, [`/proc/${PID}/attr/current`]: `${PROFILE} (complain)\n` },
      },
      'a refusal in the log': {
        verdict: 'fail',
        files: {
          ...CONFINED,
          [AUDIT]: `type=AVC apparmor="DENIED" operation="open" name="${NODE}" comm="qemu"\n`,
        },
      },
    },
  },
};

/** Verdicts of the checks in `cases.ts` beyond those named there. */
export const VFIO_ALSO: Readonly<Record<string, NonNullable<Case['also']>>> = {
  'vfio.modules': {
    absent: { verdict: 'fail', files: { [`${MODULES}/modules.dep`]: '' }, ...noModule('vfio_pci') },
    'switched off by our set-up': {
      verdict: 'warn',
      files: { '/etc/modprobe.d/qmplug.conf': 'blacklist vfio_pci\n' },
      ...noModule('vfio_pci'),
    },
    'switched off as wanted': {
      verdict: 'warn',
      files: cmdline('module_blacklist=vfio_pci'),
      request: { desired: { vfio: { blacklist: true } } },
      ...noModule('vfio_pci'),
    },
    'built in, with options that nobody reads': {
      verdict: 'fail',
      files: {
        [`${MODULES}/modules.builtin`]: 'kernel/drivers/vfio/pci/vfio-pci.ko\n',
        '/etc/modprobe.d/vfio.conf': 'options vfio-pci ids=10de:2330\n',
      },
      ...noModule('vfio_pci'),
    },
    'built in': {
      verdict: 'ok',
      files: { [`${MODULES}/modules.builtin`]: 'kernel/drivers/vfio/pci/vfio-pci.ko\n' },
      ...noModule('vfio_pci'),
    },
  },
  'vfio.container': {
    'only iommufd': { verdict: 'warn', nodes: { '/dev/vfio/vfio': null } },
    'nothing at all': {
      verdict: 'fail',
      nodes: { '/dev/vfio/vfio': null, '/dev/iommu': null },
    },
  },
  'vfio.iommufd': {
    'no iommufd': { verdict: 'skip', nodes: { '/dev/iommu': null } },
    'perhaps by a list': { verdict: 'unknown', nodes: { '/dev/iommu': aNode({ mode: 0o660 }) } },
  },
  'vfio.group_perm': {
    'not bound yet': { verdict: 'warn', nodes: { [NODE]: null } },
    'by its access control list': {
      verdict: 'ok',
      nodes: { [NODE]: aNode({ mode: 0o660 }) },
      acls: { [NODE]: 'user::rw-\nuser:107:rw-\ngroup::---\nmask::rw-\nother::---\n' },
    },
    'a list that the mask cuts': {
      verdict: 'fail',
      nodes: { [NODE]: aNode({ mode: 0o640 }) },
      acls: { [NODE]: 'user::rw-\nuser:107:rw-\ngroup::---\nmask::r--\nother::---\n' },
    },
  },
};
