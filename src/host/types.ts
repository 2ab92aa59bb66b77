import type { Known } from '../known.js';
import type { Bar } from '../pci/bar.js';
import type { Bdf } from '../pci/pci-address.js';

/** One PCI function of the host, as sysfs shows it. */
export interface HostDevice {
  readonly bdf: Bdf;
  readonly vendorId: number;
  readonly deviceId: number;
  readonly subsystemVendorId: number;
  readonly subsystemDeviceId: number;
  /** 24 bits: base class, subclass, programming interface. 0x030200 is a 3D controller. */
  readonly classCode: number;
  readonly revision: number;
  /** Directory name under /sys/bus/pci/drivers, or undefined when unbound. */
  readonly driver: string | undefined;
  /** The exact override, undefined when unset. Unknown where the read failed or hung. */
  readonly driverOverride: Known<string | undefined>;
  /** -1 where the firmware does not tell. */
  readonly numaNode: number;
  /** Undefined without an IOMMU, and for the IOMMU's own function. */
  readonly iommuGroup: number | undefined;
  /** BARs 0-5 and the ROM, zero-sized ones left out. */
  readonly bars: readonly Bar[];
  /** In order of preference; empty when the kernel knows none. */
  readonly resetMethods: readonly string[];
  /** Any PCI-to-PCI bridge (class 0x0604xx) or host bridge (0x0600xx). */
  readonly bridge: boolean;
  readonly bootVga: boolean;
  /** The PF of a VF. */
  readonly physfn: Bdf | undefined;
  /** VFs enabled now; 0 where the function has none. */
  readonly vfCount: number;
  /** VFs the function can have; 0 where it is no PF. */
  readonly vfTotal: number;
  readonly modalias: string | undefined;
  /** Name of the vfio cdev (`vfio3`), only where its device node really exists. */
  readonly vfioCdev: string | undefined;
  /** Names of children by subsystem, for display: net, block, drm, sound, usb, nvme. */
  readonly children: Readonly<Record<string, readonly string[]>>;
}

/** An IOMMU group: the unit of isolation, of reservation and of conflict. */
export interface IommuGroup {
  readonly id: number;
  /** PCI members in numeric order, bridges included. */
  readonly members: readonly Bdf[];
  /** Members that are no PCI functions: mdev UUIDs, platform devices. */
  readonly others: readonly string[];
}

/**
 * `block` stops an attach unless its reason is allowed by name; `warn` is told and passes.
 * What could not be read is a finding of its own, with level `block`.
 */
export interface UseFinding {
  readonly bdf: Bdf;
  readonly level: 'block' | 'warn';
  /** Stable: `in-use.mount`, `in-use.swap`, `in-use.net`, `in-use.display`, `unreadable.mounts` ... */
  readonly reason: string;
  /** What was seen: `/dev/nvme0n1p2 mounted on /`. */
  readonly evidence: string;
  readonly remedy: string;
}

/** A process that has a VFIO group node or cdev open. */
export interface VfioHolder {
  readonly pid: number;
  readonly command: string;
  readonly node: string;
}

/** The host at one moment. Plans are made of it, never of the live host. */
export interface HostSnapshot {
  readonly bootId: string;
  /** Every PCI function, in numeric order. */
  readonly devices: ReadonlyMap<Bdf, HostDevice>;
  readonly groups: ReadonlyMap<number, IommuGroup>;
  /** Findings for the functions that were asked about. */
  readonly uses: ReadonlyMap<Bdf, readonly UseFinding[]>;
  /** Who holds each of the asked groups; unknown where /proc could not be read. */
  readonly holders: ReadonlyMap<number, Known<readonly VfioHolder[]>>;
}
