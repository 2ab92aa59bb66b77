import { readCredentials } from '../../host/credentials.js';
import { exists, ifPresent } from '../../host/reading.js';
import { describeNode, readAccess } from '../access.js';
import type { HostCheck, Subject } from '../check.js';
import { fail, ok, seen, skip, unknownAnswer, warn } from '../finding.js';
import { readCpu, type Cpu } from '../read-cpu.js';
import { readModule } from '../read-module.js';
import { ignoreMsrs, kvmNested, reportIgnoredMsrs } from './kvm-parameters.js';
import { secureGuest } from './secure-guest.js';

const KVM = '/dev/kvm';
/** There exactly while KVM runs; udev makes the node from a list even without (kmod-static-nodes). */
const RUNNING = '/sys/devices/virtual/misc/kvm';
const FIRMWARE = 'switch VT-x or AMD-V (SVM) on in the firmware; in a VM, nested virtualisation';

const FLAGS: Readonly<Partial<Record<Cpu['kind'], readonly string[]>>> = {
  intel: ['vmx'],
  amd: ['svm'],
  s390: ['sie'],
};

const cpuVirt: HostCheck = {
  id: 'cpu.virt',
  about: 'whether the processor offers virtualisation',
  needs: 'host',
  async run({ effects }) {
    const { kind, flags } = await readCpu(effects);
    if (await exists(effects, RUNNING)) return ok('KVM runs', seen(RUNNING, 'present'));
    const wanted = FLAGS[kind];
    if (wanted === undefined) return skip('no flag tells it on this processor');
    const found = wanted.find((flag) => flags.has(flag));
    const read = seen('/proc/cpuinfo', found ?? `no ${wanted.join(', ')}`);
    return found === undefined
      ? fail('the processor offers no virtualisation', FIRMWARE, read)
      : ok(`the processor has ${found}`, read);
  },
};

const MODULES: Readonly<Partial<Record<Cpu['kind'], string>>> = {
  intel: 'kvm_intel',
  amd: 'kvm_amd',
  ppc: 'kvm_hv',
};

const kvmModule: HostCheck = {
  id: 'kvm.module',
  about: 'whether KVM is in the kernel',
  needs: 'host',
  async run({ effects }) {
    if (await exists(effects, RUNNING)) return ok('it runs', seen(RUNNING, 'present'));
    const name = MODULES[(await readCpu(effects)).kind] ?? 'kvm';
    const { state, read } = await readModule(effects, name);
    switch (state) {
      case 'loaded':
      case 'builtin':
        return ok(`${name} is ${state}`, ...read);
      case 'loadable':
        return warn(`${name} is not loaded`, `modprobe ${name}`, ...read);
      case 'blacklisted':
        return fail(
          `${name} is kept from loading`,
          `remove that line, then: modprobe ${name}`,
          ...read,
        );
      case 'absent':
        return fail(`the kernel has no ${name}`, `install the kernel's module ${name}`, ...read);
    }
  },
};

const kvmPpcHv: HostCheck = {
  id: 'kvm.ppc_hv',
  about: 'on POWER: whether KVM runs guests in hardware (`kvm_hv`), and not only in software',
  needs: 'host',
  async run({ effects }) {
    if ((await readCpu(effects)).kind !== 'ppc') return skip('the processor is no POWER');
    const { state, read } = await readModule(effects, 'kvm_hv');
    return state === 'loaded' || state === 'builtin'
      ? ok(`kvm_hv is ${state}`, ...read)
      : warn(
          `kvm_hv is ${state === 'loadable' ? 'not loaded' : state}`,
          'modprobe kvm_hv',
          ...read,
        );
  },
};

const kvmDevice: HostCheck = {
  id: 'kvm.device',
  about: 'whether `/dev/kvm` is there',
  needs: 'host',
  async run({ effects }) {
    const stat = await ifPresent(effects.stat(KVM));
    if (stat?.kind === 'character') return ok(`${KVM} is there`, seen(KVM, describeNode(stat)));
    const found = seen(KVM, stat === undefined ? 'absent' : `a ${stat.kind}`);
    return fail(`${KVM} is no device`, 'modprobe kvm_intel or kvm_amd; see cpu.virt', found);
  },
};

const kvmAccess: HostCheck = {
  id: 'kvm.access',
  about: 'whether QEMU (of `--vm`, else who asks) can open `/dev/kvm`',
  needs: 'host',
  async run(reads) {
    const { uid, ...who } = await readCredentials(reads.effects, reads.vmmPid);
    const node = await readAccess(reads, KVM, { uid, ...who });
    if (node === undefined) return skip(`there is no ${KVM}`, seen(KVM, 'absent'));
    const remedy = 'let its user into the group kvm (usermod -aG kvm USER), and start QEMU anew';
    switch (node.access) {
      case 'yes':
        return ok(`uid ${uid} can open it`, node.read);
      case 'no':
        return reads.isQemu
          ? fail(`QEMU, uid ${uid}, cannot open it`, remedy, node.read)
          : warn(`uid ${uid} cannot open it, if QEMU runs as that`, remedy, node.read);
      case 'perhaps':
        return unknownAnswer(
          `only an access control list can let uid ${uid} in`,
          `getfacl ${KVM}`,
          node.read,
        );
    }
  },
};

function nodeCheck(id: string, node: string, module: string, without: string): HostCheck {
  return {
    id,
    about: `whether \`${node}\` is there`,
    needs: 'host',
    async run({ effects }) {
      return (await exists(effects, node))
        ? ok(`${node} is there`, seen(node, 'present'))
        : warn(without, `modprobe ${module}`, seen(node, 'absent'));
    },
  };
}

/** The v2 names; of v1 `io` is `blkio`. */
const CONTROLLERS = ['cpu', 'cpuset', 'io', 'memory'];

const cgroup: HostCheck = {
  id: 'host.cgroup',
  about: 'whether the control groups that confine a VM are there',
  needs: 'host',
  async run({ effects }) {
    const v2 = '/sys/fs/cgroup/cgroup.controllers';
    const unified = await ifPresent(effects.read(v2));
    const path = unified === undefined ? '/proc/cgroups' : v2;
    const found = unified?.split(/\s+/) ?? controllersOfV1(await effects.read(path));
    const missing = CONTROLLERS.filter((name) => !found.includes(name));
    return missing.length === 0
      ? ok('all controllers are there', seen(path, CONTROLLERS.join(' ')))
      : warn(
          `no ${missing.join(', ')} controller`,
          'remove cgroup_disable= from the kernel command line, or mount /sys/fs/cgroup',
          seen(path, found.filter(Boolean).join(' ')),
        );
  },
};

/** Columns: name, hierarchy, number of groups, enabled. */
function controllersOfV1(text: string): readonly string[] {
  return text.split('\n').flatMap((line) => {
    const [name = '', , , enabled] = line.split(/\s+/);
    return enabled === '1' ? [name === 'blkio' ? 'io' : name] : [];
  });
}

export const cpuKvm: Subject = {
  name: 'CPU and KVM',
  checks: [
    cpuVirt,
    kvmModule,
    kvmDevice,
    kvmAccess,
    kvmNested,
    kvmPpcHv,
    ignoreMsrs,
    reportIgnoredMsrs,
    nodeCheck('host.vhost_net', '/dev/vhost-net', 'vhost_net', 'virtio-net runs in QEMU, slowly'),
    nodeCheck('host.tun', '/dev/net/tun', 'tun', 'no tap interfaces can be made'),
    cgroup,
    secureGuest,
  ],
};
