import { cmdline, type Case } from './case.js';
import { aNode, PID, type Change } from './patient.js';

const WANTED = cmdline('kvmfr.static_size_mb=128');
const NODE = '/dev/kvmfr0';
const SEAT = { '/run/systemd/seats/seat0': 'IS_VTCONSOLE=1\nACTIVE=c2\nACTIVE_UID=1000\n' };
const RULE = '/etc/udev/rules.d/70-qmplug-kvmfr.rules';
const LINE = 'SUBSYSTEM=="kvmfr", GROUP="kvm", MODE="0660", TAG+="uaccess"\n';
const rule = (text: string, path = RULE): Change => ({ files: { ...WANTED, [path]: text } });
const ENFORCING = { '/sys/fs/selinux/enforce': '1' };
const label = (type: string) => ({ [`stat -c %C -- ${NODE}`]: `system_u:object_r:${type}:s0\n` });
const QEMU_CONF = '/etc/libvirt/qemu.conf';
const LISTED = { [QEMU_CONF]: `cgroup_device_acl = [ "${NODE}" ]\n` };
const SECURE = {
  '/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c': '\u0006\0\0\0\u0001',
};
const pictures = (...sizesMb: readonly number[]): Change => ({
  files: WANTED,
  request: { desired: { kvmfr: { sizesMb: [...sizesMb] } } },
});

export const KVMFR_CASES: Readonly<Record<string, Case>> = {
  'kvmfr.isfile': {
    ok: { files: WANTED, nodes: { [NODE]: aNode() } },
    bad: { verdict: 'fail', files: WANTED, nodes: { [NODE]: aNode({ kind: 'file' }) } },
    unknown: { files: WANTED, denied: [NODE] },
    also: { 'nobody asks for it': { verdict: 'skip' } },
  },
  'kvmfr.perm': {
    ok: { files: { ...WANTED, ...SEAT }, nodes: { [NODE]: aNode() } },
    bad: {
      verdict: 'fail',
      files: { ...WANTED, ...SEAT },
      nodes: { [NODE]: aNode({ mode: 0o600 }) },
    },
    unknown: { files: WANTED, denied: [NODE] },
    also: {
      'only QEMU': {
        verdict: 'warn',
        files: { ...WANTED, ...SEAT },
        nodes: { [NODE]: aNode({ uid: 107, mode: 0o600 }) },
      },
      'both, by their group': {
        verdict: 'ok',
        files: {
          ...WANTED,
          ...SEAT,
          '/etc/group': 'root:x:0:\nqemu:x:36:ann\n',
        },
        nodes: { [NODE]: aNode({ gid: 36, mode: 0o660 }) },
      },
      'the seat by its access control list': {
        verdict: 'ok',
        files: { ...WANTED, ...SEAT },
        nodes: { [NODE]: aNode({ gid: 36, mode: 0o660 }) },
        acls: { [NODE]: 'user::rw-\nuser:1000:rw-\ngroup::rw-\nmask::rw-\nother::---\n' },
      },
      'a list that nothing reads': {
        verdict: 'unknown',
        files: { ...WANTED, ...SEAT },
        nodes: { [NODE]: aNode({ gid: 36, mode: 0o660 }) },
      },
      'no node': { verdict: 'skip', files: WANTED },
    },
  },
  'kvmfr.rule': {
    ok: rule(LINE),
    bad: { verdict: 'fail', ...rule(LINE.replace('GROUP="kvm"', 'OWNER="root"')) },
    unknown: { files: WANTED, denied: ['/etc/udev/rules.d'] },
    also: {
      'a user of the system it is not': {
        verdict: 'fail',
        ...rule(LINE.replace('GROUP="kvm"', 'OWNER="ann"')),
      },
      'a group of users': { verdict: 'fail', ...rule(LINE.replace('"kvm"', '"ann"')) },
      'two rules': {
        verdict: 'warn',
        files: { ...WANTED, [RULE]: LINE, '/usr/lib/udev/rules.d/65-kvmfr.rules': LINE },
      },
      'a namesake that replaces the other': {
        verdict: 'ok',
        files: {
          ...WANTED,
          [RULE]: LINE,
          '/usr/lib/udev/rules.d/70-qmplug-kvmfr.rules': LINE.replace('"kvm"', '"ann"'),
        },
      },
      'without uaccess': {
        verdict: 'warn',
        ...rule('SUBSYSTEM=="kvmfr", GROUP="kvm", MODE="0660"\n'),
      },
      'too late for uaccess': {
        verdict: 'warn',
        ...rule(LINE, '/etc/udev/rules.d/99-kvmfr.rules'),
      },
      'open to everyone': { verdict: 'warn', ...rule(LINE.replace('0660', '0666')) },
      'none, where it is wanted': { verdict: 'warn', files: WANTED },
      'none, and nobody asks': { verdict: 'skip' },
    },
  },
  'kvmfr.mac': {
    ok: { files: WANTED, nodes: { [NODE]: aNode() } },
    bad: {
      verdict: 'fail',
      files: { ...WANTED, [QEMU_CONF]: '#cgroup_device_acl = []\n' },
      nodes: { [NODE]: aNode() },
    },
    unknown: { files: WANTED, denied: [QEMU_CONF] },
    also: {
      'libvirt lists it': { verdict: 'ok', files: { ...WANTED, ...LISTED } },
      'no rule of AppArmor': {
        verdict: 'warn',
        files: { ...WANTED, ...LISTED, '/sys/kernel/security/apparmor/profiles': '' },
      },
      'a rule of AppArmor': {
        verdict: 'ok',
        files: {
          ...WANTED,
          ...LISTED,
          '/sys/kernel/security/apparmor/profiles': '',
          '/etc/apparmor.d/local/abstractions/libvirt-qemu': `${NODE} rw,\n`,
        },
      },
      'the type of every unlabelled device': {
        verdict: 'warn',
        files: { ...WANTED, ...ENFORCING },
        nodes: { [NODE]: aNode() },
        programs: label('device_t'),
      },
      'a type of its own': {
        verdict: 'ok',
        files: { ...WANTED, ...ENFORCING },
        nodes: { [NODE]: aNode() },
        programs: label('qmplug_kvmfr_device_t'),
      },
      'a refusal in the log': {
        verdict: 'fail',
        files: {
          ...WANTED,
          '/var/log/audit/audit.log': `avc:  denied  { open } for comm="qemu" path="${NODE}"\n`,
        },
      },
      'a label that cannot be read': {
        verdict: 'unknown',
        files: { ...WANTED, ...ENFORCING },
        nodes: { [NODE]: aNode() },
      },
      'nobody asks for it': { verdict: 'skip' },
    },
  },
  'kvmfr.secureboot': {
    ok: { files: { ...WANTED, ...SECURE }, programs: { 'modinfo -F signer kvmfr': 'somebody\n' } },
    bad: {
      verdict: 'fail',
      files: { ...WANTED, ...SECURE },
      programs: { 'modinfo -F signer kvmfr': '\n' },
    },
    unknown: { files: { ...WANTED, ...SECURE }, denied: Object.keys(SECURE) },
    also: {
      'no Secure Boot': { verdict: 'ok', files: WANTED },
      'loaded already': {
        verdict: 'ok',
        files: { ...WANTED, ...SECURE, '/sys/module/kvmfr/taint': 'O\n' },
      },
      'no modinfo': { verdict: 'unknown', files: { ...WANTED, ...SECURE } },
      'no such module': {
        verdict: 'unknown',
        files: { ...WANTED, ...SECURE },
        programs: { 'modinfo -F signer kvmfr': null },
      },
      'nobody asks for it': { verdict: 'skip' },
    },
  },
};

/** Verdicts of the checks in `cases.ts` beyond those named there. */
export const KVMFR_ALSO: Readonly<Record<string, NonNullable<Case['also']>>> = {
  'kvmfr.module': {
    'not loaded': {
      verdict: 'warn',
      files: { ...WANTED, '/lib/modules/6.12.95/modules.dep': 'updates/kvmfr.ko.zst:\n' },
    },
    'wanted by the desired state alone': {
      verdict: 'fail',
      request: { desired: { kvmfr: { sizesMb: [128] } } },
    },
    'nobody asks for it': { verdict: 'skip' },
  },
  'kvmfr.device': {
    'fewer than configured': {
      verdict: 'warn',
      files: cmdline('kvmfr.static_size_mb=128,64'),
      nodes: { [NODE]: aNode() },
    },
    'none at all': { verdict: 'fail', files: WANTED },
  },
  'kvmfr.size': {
    'no power of two': { verdict: 'warn', files: cmdline('kvmfr.static_size_mb=100') },
    'smaller than needed': { verdict: 'fail', ...pictures(256) },
    'larger than needed': { verdict: 'warn', ...pictures(64) },
    'as needed': { verdict: 'ok', ...pictures(128) },
    'not what the VM has': {
      verdict: 'fail',
      files: {
        ...WANTED,
        [`/proc/${PID}/maps`]: `7f0000000000-7f0004000000 rw-s 00000000 00:06 500 ${NODE}\n`,
      },
    },
    'what the VM has': {
      verdict: 'ok',
      files: {
        ...WANTED,
        [`/proc/${PID}/maps`]: `7f0000000000-7f0008000000 rw-s 00000000 00:06 500 ${NODE}\n`,
      },
    },
  },
  secureboot: {
    'and a kvmfr without a signature': {
      verdict: 'fail',
      files: { ...WANTED, ...SECURE },
      programs: { 'modinfo -F signer kvmfr': '\n' },
    },
  },
};
