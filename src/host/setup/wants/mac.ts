import type { DesiredState } from '../desired-state.js';
import type { SetupFacts } from '../facts.js';
import type { WantedFile, Wishes } from './wish.js';

const MODULE = 'qmplug_kvmfr';
const POLICY = `/etc/qmplug/${MODULE}.cil`;
const ABSTRACTION = '/etc/apparmor.d/local/abstractions/libvirt-qemu';

/** What lets a confined VM use the kvmfr nodes, and nothing else. */
export function macWishes(
  { mac }: DesiredState,
  facts: SetupFacts,
  nodes: readonly string[],
): Wishes {
  const selinux = mac?.selinux !== 'never' && facts.selinux;
  const apparmor = mac?.apparmor !== 'never' && facts.apparmor && facts.libvirt;
  return {
    files: [
      ...(selinux ? [policyFile()] : []),
      ...(apparmor ? [abstraction(nodes)] : []),
      ...(facts.libvirt ? nodes.map(deviceList) : []),
    ],
    pairs: selinux
      ? [
          {
            item: 'kvmfr.selinux.module',
            argv: ['semodule', '-i', POLICY],
            inverse: ['semodule', '-r', MODULE],
            present: { argv: ['semodule', '-l'], line: MODULE },
          },
        ]
      : [],
    notes: facts.libvirt
      ? [
          {
            item: 'kvmfr.libvirt',
            text: 'libvirt reads qemu.conf when it starts: systemctl restart libvirtd',
          },
        ]
      : [],
  };
}

/**
 * A type of their own for the nodes, and that type alone for the VMs: `device_t` would open every unlabelled
 * character device to every confined VM.
 */
function policyFile(): WantedFile {
  const lines = [
    '; Written by qmplug host apply.',
    '(type qmplug_kvmfr_device_t)',
    '(roletype object_r qmplug_kvmfr_device_t)',
    '(typeattributeset device_node (qmplug_kvmfr_device_t))',
    '(allow svirt_t qmplug_kvmfr_device_t (chr_file (getattr open read write map ioctl lock)))',
    '(allow svirt_tcg_t qmplug_kvmfr_device_t (chr_file (getattr open read write map ioctl lock)))',
    '(filecon "/dev/kvmfr[0-9]+" char (system_u object_r qmplug_kvmfr_device_t ((s0) (s0))))',
  ];
  return {
    item: 'kvmfr.selinux',
    path: POLICY,
    content: `${lines.join('\n')}\n`,
    refresh: ['selinux'],
  };
}

function abstraction(nodes: readonly string[]): WantedFile {
  const lines = nodes.map((node) => `${node} rw,`);
  return { item: 'kvmfr.apparmor', path: ABSTRACTION, edit: { kind: 'block', lines } };
}

function deviceList(node: string): WantedFile {
  return {
    item: 'kvmfr.libvirt',
    path: '/etc/libvirt/qemu.conf',
    edit: { kind: 'libvirt-list', setting: 'cgroup_device_acl', entry: node },
  };
}
