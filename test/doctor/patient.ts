import { readFileSync } from 'node:fs';
import { parseAccessList } from '../../src/host/access-list.js';
import {
  HostIoError,
  type HostEffects,
  type HostStat,
  type MemlockLimit,
} from '../../src/host/effects.js';
import { runDoctor, type DoctorRequest, type Finding } from '../../src/doctor/index.js';
import type { FunctionSetup } from '../host/sysfs-tree.js';
import { HostTree } from '../host/sysfs-tree.js';
import type { SetupHost } from '../../src/host/setup/index.js';
import { createMemoryStore } from '../support/memory-store.js';
import { aPort, aVm, QEMU } from '../support/snapshots.js';
import { stubSetup } from './stub-setup.js';

export const DEVICE = '0000:3b:00.0';
/** The process of `QEMU`. */
export const PID = 4242;
export const SELF = 77;
const RELEASE = '6.12.95';
export const INTEL = 'vendor_id\t: GenuineIntel\nflags\t\t: fpu vmx sse2\n';
export const AMD = 'vendor_id\t: AuthenticAMD\nflags\t\t: fpu svm sse2\n';
export const ARM = 'CPU implementer\t: 0x41\nFeatures\t: fp asimd\n';

export const STATUS =
  'Uid:\t107\t107\t107\t107\nGid:\t107\t107\t107\t107\nGroups:\t36 107\nCapEff:\t0000000000000000\n';

export const aNode = (change: Partial<HostStat> = {}): HostStat => ({
  kind: 'character',
  uid: 0,
  gid: 0,
  mode: 0o666,
  rdev: { major: 10, minor: 196 },
  inode: 1n,
  ...change,
});

/** One change to a host on which every check is ok. */
export interface Change {
  /** Text of files; null where there is none. */
  readonly files?: Readonly<Record<string, string | null>>;
  readonly nodes?: Readonly<Record<string, HostStat | null>>;
  /** Bytes of files that are no text. */
  readonly bytes?: Readonly<Record<string, Uint8Array>>;
  /** Paths that answer EACCES, with all below them. */
  readonly denied?: readonly string[];
  readonly device?: FunctionSetup;
  /** What getfacl prints of nodes; of the others nothing can be read. */
  readonly acls?: Readonly<Record<string, string>>;
  readonly memlock?: MemlockLimit;
  /** What programs of the host print, by their command lines; null where one fails. Merged with `PROGRAMS`. */
  readonly programs?: Readonly<Record<string, string | null>>;
  readonly tree?: (tree: HostTree) => void;
  readonly request?: Partial<DoctorRequest>;
}

const MODULES = ['vfio', 'vfio_iommu_type1', 'vfio_pci', 'kvm', 'kvm_intel', 'kvm_amd'];

const FILES: Readonly<Record<string, string>> = {
  '/proc/cpuinfo': INTEL,
  '/proc/cmdline': 'BOOT_IMAGE=/vmlinuz root=/dev/sda1 ro quiet\n',
  '/proc/mounts': 'hugetlbfs /dev/hugepages hugetlbfs rw 0 0\n',
  '/proc/interrupts': ' 24:  0  IR-PCI-MSI 32768-edge  eth0\n',
  '/proc/meminfo': 'MemTotal: 67108864 kB\nMemAvailable: 33554432 kB\n',
  '/proc/swaps': 'Filename\tType\tSize\tUsed\tPriority\n',
  '/sys/firmware/acpi/tables/DMAR': '',
  '/sys/firmware/acpi/tables/IVRS': '',
  '/sys/firmware/acpi/tables/IORT': '',
  '/sys/fs/cgroup/cgroup.controllers': 'cpuset cpu io memory pids\n',
  '/sys/kernel/security/lockdown': '[none] integrity confidentiality\n',
  '/sys/module/kvm/parameters/ignore_msrs': 'N\n',
  '/sys/module/kvm/parameters/report_ignored_msrs': 'Y\n',
  '/sys/module/kvm_intel/parameters/nested': 'Y\n',
  '/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts': 'N\n',
  '/sys/module/vfio_iommu_type1/parameters/dma_entry_limit': '65535\n',
  '/sys/class/iommu/dmar0/type': '',
  '/sys/kernel/iommu_groups/17/type': 'DMA-FQ\n',
  '/sys/kernel/iommu_groups/17/reserved_regions': '0x00000000fee00000 0x00000000feefffff msi\n',
  '/etc/passwd': 'root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n',
  '/etc/group': 'root:x:0:\nkvm:x:104:\nann:x:1000:\n',
  '/etc/udev/rules.d/10-gpu.rules': 'SUBSYSTEM=="vfio", GROUP="kvm", MODE="0660"\n',
  '/etc/kernel/cmdline': 'root=/dev/sda1 ro quiet\n',
  '/etc/kernel/proxmox-boot-uuids': '',
  '/etc/initramfs-tools/modules': '',
  [`/boot/initrd.img-${RELEASE}`]: '',
  [`/proc/${PID}/cgroup`]: '0::/\n',
  [`/proc/${PID}/attr/current`]: 'unconfined\n',
  [`/lib/modules/${RELEASE}/modules.builtin`]: '',
  [`/lib/modules/${RELEASE}/modules.dep`]: 'kernel/drivers/vfio/pci/vfio-pci.ko:\n',
  [`/lib/modules/${RELEASE}/modules.alias`]: 'alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n',
  [`/proc/${PID}/root/dev/vfio/vfio`]: '',
};

const NODES: Readonly<Record<string, HostStat>> = {
  '/dev/kvm': aNode(),
  '/dev/vhost-net': aNode(),
  '/dev/net/tun': aNode(),
  '/dev/vfio/vfio': aNode(),
  '/dev/vfio/17': aNode({ uid: 107, mode: 0o600 }),
  '/dev/iommu': aNode(),
};

/** Of `/usr/bin`; what they print, by their command lines. */
const PROGRAMS: Readonly<Record<string, string>> = {
  'proxmox-boot-tool': '',
  [`lsinitramfs /boot/initrd.img-${RELEASE}`]: 'usr/lib/modules/vfio-pci.ko\n',
  mkinitramfs: '',
  'update-initramfs': '',
  'stat -c %C -- /dev/vfio/17': 'system_u:object_r:vfio_device_t:s0\n',
};

/** A host on which every check is ok, but for what is changed. It is gone with the tree. */
export class Patient implements Disposable {
  readonly tree = new HostTree();
  readonly #change: Change;

  constructor(change: Change = {}) {
    this.#change = change;
    const { tree } = this;
    tree.addProcess(SELF, { status: STATUS });
    tree.addProcess(PID, { command: 'qemu-system-x86', status: `${STATUS}VmRSS:\t 1048576 kB\n` });
    tree.directory('/sys/firmware/acpi/tables');
    for (const name of MODULES) tree.directory(`/sys/module/${name}`);
    tree.addFunction(DEVICE, {
      vendor: '0x10de',
      device: '0x2330',
      class: '0x030200',
      group: 17,
      driver: 'vfio-pci',
      resetMethod: 'flr bus',
      modalias: 'pci:v000010DEd00002330sv000010DEsd000016C1bc03sc02i00',
      ...change.device,
    });
    tree.file(`${tree.pathOf(DEVICE)}/power_state`, 'D0\n');
    change.tree?.(tree);
    for (const [path, text] of Object.entries({ ...FILES, ...change.files })) {
      if (text !== null) tree.file(path, text);
    }
  }

  [Symbol.dispose](): void {
    this.tree[Symbol.dispose]();
  }

  /** Reads from the tree alone, nodes and denials laid over it. */
  get effects(): HostEffects {
    const { tree } = this;
    const { acls, denied = [], memlock, nodes: changed = {}, bytes = {} } = this.#change;
    const nodes = { ...NODES, ...changed };
    const guard = (operation: string, path: string) => {
      if (denied.some((each) => path === each || path.startsWith(`${each}/`))) {
        throw new HostIoError('EACCES', operation, path);
      }
      if (/^\/(sys|proc|dev|lib\/modules)(\/|$)/.test(path)) return path;
      // The others have no root of their own: nothing of the machine that runs the test may show.
      if (!tree.has(path)) throw new HostIoError('ENOENT', operation, path);
      return tree.real(path);
    };
    const inner = tree.effects;
    return {
      // Not by way of a child process: there is no kernel behind a tree that could hold it up.
      read: async (path, options) => {
        const real = guard('read', path);
        return /driver_override$/.test(path)
          ? readFileSync(tree.real(real), 'utf8')
          : inner.read(real, options);
      },
      readBytes: async (path, length) => {
        const real = guard('read', path);
        return bytes[path]?.subarray(0, length) ?? inner.readBytes(real, length);
      },
      list: async (path) => inner.list(guard('list', path)),
      readlink: async (path) => inner.readlink(guard('readlink', path)),
      async stat(path) {
        const real = guard('stat', path);
        const node = nodes[path];
        if (node === null) throw new HostIoError('ENOENT', 'stat', path);
        return node ?? inner.stat(real);
      },
      write: (path) => Promise.reject(new Error(`a check wrote to ${path}`)),
      open: (path) => Promise.reject(new Error(`a check opened ${path}`)),
      chown: (path) => Promise.reject(new Error(`a check changed ${path}`)),
      chmod: (path) => Promise.reject(new Error(`a check changed ${path}`)),
      loadModule: (name) => Promise.reject(new Error(`a check loaded ${name}`)),
      async readAcl(path) {
        const text = acls?.[path];
        if (text === undefined) throw new HostIoError('ENOENT', 'run', `getfacl ${path}`);
        return parseAccessList(text);
      },
      async readMemlock() {
        return memlock ?? { soft: undefined, hard: undefined };
      },
      readVfs: async () => [],
      setVf: (netdev) => Promise.reject(new Error(`a check changed the VFs of ${netdev}`)),
      setMemlock: (pid) => Promise.reject(new Error(`a check changed process ${pid}`)),
    };
  }

  /** The host's programs: they print what the patient's change says, and run nothing. */
  get setup(): SetupHost {
    return stubSetup(this.tree, { ...PROGRAMS, ...this.#change.programs }, this.#change.denied);
  }

  examine(request: Partial<DoctorRequest> = {}): Promise<readonly Finding[]> {
    return runDoctor({
      effects: this.effects,
      setup: this.setup,
      state: createMemoryStore(),
      runtime: createMemoryStore(),
      selfPid: SELF,
      device: DEVICE,
      vm: aVm([aPort('rp0')], [], { identity: QEMU }),
      ...this.#change.request,
      ...request,
    });
  }
}
