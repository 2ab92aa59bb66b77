import { normaliseKey, type KernelArgument } from './command-line.js';
import type { InitramfsBackend } from './initramfs/index.js';
import type { ConfiguredArguments, KernelArgumentBackend } from './kernel-arguments/index.js';
import type { Leftovers } from './read-leftovers.js';
import type { ModprobeLine } from './modprobe.js';
import type { Known } from '../../known.js';
import type { HostStat } from '../effects.js';
import type { HostDevice } from '../types.js';

/** What one installed kernel has. Names with underscores. */
export interface KernelFacts {
  readonly release: string;
  readonly builtIn: ReadonlySet<string>;
  readonly modules: ReadonlySet<string>;
}

/** The set-up of a host at one moment. Plans are made of it, never of the live host. */
export interface SetupFacts {
  /** False while an image is built: then nothing runs, and what is running says nothing. */
  readonly isMachine: boolean;
  readonly architecture: string;
  /** `GenuineIntel`, `AuthenticAMD`; undefined where /proc/cpuinfo names none. */
  readonly cpuVendor: string | undefined;
  /** Content of /etc/machine-id; empty in an image. */
  readonly machineId: string;
  /** Whether an operating system image owns /usr and the initramfs. */
  readonly isImageSystem: boolean;
  /** Newest last. */
  readonly kernels: readonly KernelFacts[];
  /** The command line of the running kernel. */
  readonly running: Known<readonly KernelArgument[]>;
  readonly iommu: {
    readonly groupCount: Known<number>;
    /** Whether the firmware has a DMAR (Intel) or IVRS (AMD) table. */
    readonly dmar: boolean;
    readonly ivrs: boolean;
  };
  readonly kernelArguments: {
    readonly backend: KernelArgumentBackend;
    /** Other mechanisms that are here too. */
    readonly others: readonly string[];
    readonly configured: Known<ConfiguredArguments>;
    readonly refresh: Known<readonly (readonly string[])[]>;
    /** Words of the menu that the boot loader reads, where it is generated and can be read. */
    readonly menu: Known<readonly KernelArgument[]> | undefined;
  };
  readonly initramfs: {
    readonly backend: InitramfsBackend | undefined;
    /** Names in the image of the newest kernel. */
    readonly listing: Known<readonly string[]>;
  };
  readonly modprobe: readonly ModprobeLine[];
  /** Groups of /etc/group and their numbers. */
  readonly groups: ReadonlyMap<string, number>;
  readonly selinux: boolean;
  readonly apparmor: boolean;
  readonly libvirt: boolean;
  readonly secureBoot: Known<boolean>;
  /** Devices by the selector that named them, or why there is none. */
  readonly devices: ReadonlyMap<string, Known<HostDevice>>;
  /** Every function of the host; empty where no device is named. */
  readonly allDevices: readonly HostDevice[];
  /** What parameters of modules are while the machine runs, by their path below /sys/module: `kvm/parameters/nested`. */
  readonly runningParameters: ReadonlyMap<string, string>;
  /** Number of huge pages by the path of its attribute. */
  readonly hugepages: ReadonlyMap<string, string>;
  /** Free memory by NUMA node. */
  readonly nodeFreeBytes: ReadonlyMap<string, bigint>;
  /** What is at /dev/kvmfr0 and the following, where anything is. */
  readonly kvmfrNodes: ReadonlyMap<string, HostStat>;
  readonly leftovers: Leftovers;
  /** Services, of those that the desired state names, that may open only certain devices. */
  readonly restrictedUnits: ReadonlySet<string>;
  /** Files in which other managers claim devices. */
  readonly claims: readonly string[];
}

/** `builtin` where every kernel has it so, `module` where one can load it, else `absent`. */
export function moduleState(facts: SetupFacts, name: string): 'builtin' | 'module' | 'absent' {
  const { kernels } = facts;
  if (kernels.length > 0 && kernels.every(({ builtIn }) => builtIn.has(name))) return 'builtin';
  return kernels.some(({ builtIn, modules }) => builtIn.has(name) || modules.has(name))
    ? 'module'
    : 'absent';
}

/** `kernel/drivers/vfio/pci/vfio-pci.ko.xz: ...` is vfio_pci. */
export function moduleName(line: string): readonly string[] {
  const name = /([^/:\s]+)\.ko(?:\.\w+)?(?::|\s|$)/.exec(line)?.[1];
  return name === undefined ? [] : [normaliseKey(name)];
}
