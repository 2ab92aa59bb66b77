import type { Known } from '../../known.js';
import type { Bar } from '../../pci/bar.js';
import type { Bdf } from '../../pci/pci-address.js';
import type { Children } from '../children.js';

/** One serial number and where it was found. */
export interface Serial {
  /**
   * `dsn`: PCIe device serial number capability; `vpd`: the SN keyword of the vital product data; `nvme`:
   * the controller's; `mac`: the permanent address of a network interface.
   */
  readonly source: 'dsn' | 'vpd' | 'nvme' | 'mac';
  readonly value: string;
}

export interface Serials {
  readonly found: readonly Serial[];
  /** Why a source that there may be was not read; undefined where all were. */
  readonly unread: string | undefined;
}

/** GT/s and lanes; undefined where the kernel says `Unknown` or the device has no link. */
export interface Link {
  readonly speed: number | undefined;
  readonly width: number | undefined;
}

export interface SriovRole {
  readonly role: 'pf' | 'vf' | 'none';
  /** The PF of a VF, and the VF's number there. */
  readonly physfn: Bdf | undefined;
  readonly index: number | undefined;
  /** VFs of a PF: enabled now, and at most. */
  readonly vfs: readonly Bdf[];
  readonly total: number;
}

/** A type of mediated device that a parent offers. */
export interface MdevType {
  readonly id: string;
  readonly name: string | undefined;
  /** Instances that can still be made; making one of another type can lower it too. */
  readonly available: Known<number>;
  readonly deviceApi: string | undefined;
}

/** What goes along with a function, or has to be thought of with it. */
export interface Companions {
  /** Other functions of the slot. */
  readonly slot: readonly Bdf[];
  /** Functions whose power hangs on this one by a device link. */
  readonly consumers: readonly Bdf[];
  /** Other PCI members of the IOMMU group, bridges included. */
  readonly group: readonly Bdf[];
}

/**
 * One PCI function as the inventory tells it. A field that could not be read is unknown, and the others are
 * there all the same; what the device has not is `undefined`.
 */
export interface DeviceRecord {
  readonly bdf: Bdf;
  /** Canonical path below /sys/devices, which names everything above the function. */
  readonly path: Known<string>;
  readonly vendorId: Known<number>;
  readonly deviceId: Known<number>;
  readonly subsystemVendorId: Known<number | undefined>;
  readonly subsystemDeviceId: Known<number | undefined>;
  /** 24 bits: base class, subclass, programming interface. */
  readonly classCode: Known<number>;
  readonly revision: Known<number | undefined>;
  readonly driver: Known<string | undefined>;
  readonly driverOverride: Known<string | undefined>;
  readonly module: Known<string | undefined>;
  /** -1 where the firmware does not tell. */
  readonly numaNode: Known<number>;
  /** Linux's text for the CPUs near the device: `0-3,8-11`. */
  readonly localCpus: Known<string | undefined>;
  /** Physical package of those CPUs. */
  readonly socket: Known<number | undefined>;
  readonly iommuGroup: Known<number | undefined>;
  /** Label of the physical slot, as in /sys/bus/pci/slots. */
  readonly slot: Known<string | undefined>;
  /** The firmware's name (SMBIOS type 41 or ACPI _DSM) and instance number. */
  readonly label: Known<string | undefined>;
  readonly acpiIndex: Known<number | undefined>;
  readonly serials: Known<Serials>;
  readonly bars: Known<readonly Bar[]>;
  /** The greatest link; the present one wakes a sleeping device, so it is read only when asked for. */
  readonly maxLink: Known<Link>;
  readonly currentLink: Known<Link>;
  /** `active`, `suspended` ...; undefined where the kernel does not manage it. */
  readonly runtimeStatus: Known<string | undefined>;
  readonly resetMethods: Known<readonly string[]>;
  readonly sriov: Known<SriovRole>;
  readonly mdevTypes: Known<readonly MdevType[]>;
  /** UUIDs of its mediated devices. */
  readonly mdevs: Known<readonly string[]>;
  readonly bootVga: Known<boolean>;
  readonly vfioCdev: Known<string | undefined>;
  readonly modalias: Known<string | undefined>;
  readonly children: Known<Children>;
  readonly companions: Known<Companions>;
}

/** A mediated device: a part of its parent that VFIO takes like a device of its own. */
export interface MdevRecord {
  readonly uuid: string;
  /** The PCI function it is a part of; undefined for one that has no PCI parent. */
  readonly parent: Known<Bdf | undefined>;
  readonly type: Known<string | undefined>;
  readonly typeName: Known<string | undefined>;
  readonly driver: Known<string | undefined>;
  readonly iommuGroup: Known<number | undefined>;
}
