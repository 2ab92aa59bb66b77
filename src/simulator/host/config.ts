import type { MemlockLimit } from '../../host/effects.js';
import type { Bar } from '../../pci/bar.js';

/** A PCI function of the simulated host, as it is after boot. */
export interface FunctionConfig {
  readonly bdf: string;
  readonly vendorId: number;
  readonly deviceId: number;
  readonly subsystemVendorId?: number;
  readonly subsystemDeviceId?: number;
  /** 24 bits. */
  readonly classCode: number;
  readonly revision?: number;
  readonly bars?: readonly Bar[];
  /** Left out for a function without a group (no IOMMU, or the IOMMU's own function). */
  readonly group?: number;
  readonly numaNode?: number;
  /** Bridge right above it; left out on the root bus. */
  readonly parent?: string;
  /** The driver whose id table names the function. */
  readonly nativeDriver?: string;
  /** The driver bound at start; `nativeDriver` when left out, none when null. */
  readonly driver?: string | null;
  readonly driverOverride?: string;
  /** Order of preference; the file is absent when empty. */
  readonly resetMethods?: readonly string[];
  readonly bootVga?: boolean;
  /** errno of a driver's probe, by driver name. */
  readonly probeErrors?: Readonly<Record<string, string>>;
  /** On vfio-pci's own denylist. */
  readonly denylisted?: boolean;
  /** Config space reads as all ones. */
  readonly dead?: boolean;
  readonly sriov?: SriovConfig;
  /** Types of mediated devices it can make, by name. */
  readonly mdevTypes?: Readonly<Record<string, MdevTypeConfig>>;
  /** Names of the vGPUs it can become while NVIDIA's driver has it, by decimal id. */
  readonly vgpuTypes?: Readonly<Record<string, string>>;
  /** Network interfaces that exist while the native driver is bound. */
  readonly netdevs?: readonly string[];
  /** Block devices that exist while the native driver is bound, with `major:minor`. */
  readonly disks?: Readonly<Record<string, string>>;
  /** Further attributes, by path inside the function's directory, with a leading slash. */
  readonly files?: Readonly<Record<string, string>>;
}

/** A type of mediated device. */
export interface MdevTypeConfig {
  readonly name?: string;
  /** Units the parent has in all, the same for all its types. */
  readonly capacity: number;
  /** Units that one of this type takes. Default 1. */
  readonly units?: number;
  readonly deviceApi?: string;
}

export interface SriovConfig {
  readonly totalVfs: number;
  readonly vfDeviceId: number;
  /** While VFIO has the PF: the UUID that its VFs are opened with, as the PF's user has set it. */
  readonly vfToken?: string;
  /** VFs enabled at boot. */
  readonly numVfs?: number;
  readonly vfDriver?: string;
  /** What each VF can become, as in `vgpuTypes` of a function. */
  readonly vgpuTypes?: Readonly<Record<string, string>>;
  /** Distance of VF 0 and of each next one, in routing ids (SR-IOV 1.1, 3.3.9 and 3.3.10). */
  readonly offset?: number;
  readonly stride?: number;
  /** The driver enables fewer than asked and says so only in dmesg. */
  readonly enablesAtMost?: number;
}

export interface ProcessConfig {
  readonly pid?: number;
  readonly command: string;
  readonly arguments?: readonly string[];
  readonly uid?: number;
  readonly gid?: number;
  readonly groups?: readonly number[];
  readonly memlock?: MemlockLimit;
  /** Default: the full set for uid 0, none for others. */
  readonly capabilities?: bigint;
  /** /proc/<pid>/mountinfo; the host's when left out. */
  readonly mountinfo?: string;
  readonly mountNamespace?: number;
}

export interface HostConfig {
  readonly bootId?: string;
  readonly release?: string;
  /** Default `intel`. */
  readonly iommu?: 'intel' | 'amd' | 'none';
  /** Default true. */
  readonly interruptRemapping?: boolean;
  readonly functions?: readonly FunctionConfig[];
  /** Parents of mediated devices that are no PCI functions, with their types. */
  readonly mdevParents?: Readonly<Record<string, Readonly<Record<string, MdevTypeConfig>>>>;
  /** Modules that `loadModule` finds; those of the functions' drivers are always there. */
  readonly modules?: readonly string[];
  /** Modules loaded at boot besides those of bound drivers. */
  readonly loadedModules?: readonly string[];
  /** Whether the kernel has iommufd and the vfio cdev. Default false, as distributions have it. */
  readonly cdev?: boolean;
  /** Whether reading and writing driver_override waits for the device lock (Linux 6.1). Default false. */
  readonly overrideTakesDeviceLock?: boolean;
  readonly mountinfo?: string;
  readonly swaps?: string;
  /** Files anywhere, by absolute path: `/proc/cmdline`, `/etc/os-release` ... */
  readonly files?: Readonly<Record<string, string>>;
  readonly processes?: readonly ProcessConfig[];
}
