import type { Devno } from '../ccw/index.js';
import type { Owner } from '../engine/owner.js';
import type { Known } from '../known.js';
import type { Window } from '../pci/bar.js';
import type { QemuVersion } from '../qmp/session.js';

/**
 * Which VM this is. `process` is proven: a local QEMU process owns the monitor. `address` is all that
 * is known of a monitor reached over tcp, ws or a command; no VFIO device is attached there.
 */
export type VmIdentity =
  | ({ readonly kind: 'process' } & Owner)
  | {
      readonly kind: 'address';
      readonly address: string;
      /** Why no process is proven; completes "because ...". */
      readonly reason?: string | undefined;
    };

/** Text that is equal exactly for one VM, safe in a file name. */
export type VmKey = string;

/** How a port's hot-plug reaches the guest. */
export type HotplugMechanism = 'acpi' | 'native' | 'shpc' | 'rtas' | 'ccw' | 'zpci' | 'ap' | 'none';

/**
 * What a port is. `root-bus-slot` is a slot of a root bus that takes hot-plug itself (pc, pseries,
 * s390x); `ccw-bridge` a subchannel set, a block of 65,536 device numbers; `ap-bus` the one place for a
 * matrix of crypto queues.
 */
export type PortKind =
  | 'root-port'
  | 'downstream-port'
  | 'pci-bridge-slot'
  | 'pcie-pci-bridge-slot'
  | 'root-bus-slot'
  | 'ccw-bridge'
  | 'ap-bus';

/** A place that takes one hot-plugged device; a `ccw-bridge` takes many. */
export interface Port {
  /** What `--port` names: the qdev id; of a slot `<bridge>.<slot>`; `ccw0` to `ccw3`. */
  readonly id: string;
  readonly kind: PortKind;
  /** qdev type, for example `pcie-root-port`. */
  readonly type: string;
  /** Absolute QOM path of the port's bus: what `parent_bus` of its device reads. */
  readonly busPath: string;
  /** What `device_add` takes as `bus`. */
  readonly busName: string;
  /** Device number on the bus: 0 in a root or downstream port. Of a `ccw-bridge` the ssid. */
  readonly slot: number;
  /** Devices that it takes at once: 1, of a `ccw-bridge` 65,536. */
  readonly capacity: number;
  readonly mechanism: Known<HotplugMechanism>;
  readonly chassis: number | undefined;
  readonly slotNumber: number | undefined;
  /** Node of the guest that the port is near, where the topology has any. */
  readonly numaNode: number | undefined;
  /** Number of the root bus at the top of `path`: 0, or a pxb's `bus_nr`. */
  readonly rootBus: Known<number>;
  /** Slots from the root bus to this port as `[device, function]`; the guest path of the port. */
  readonly path: readonly { readonly device: number; readonly function: number }[];
  /** 0 or unknown until the firmware or the guest has numbered the buses. */
  readonly secondaryBus: Known<number>;
  readonly memoryWindow: Known<Window | undefined>;
  readonly prefetchableWindow: Known<Window | undefined>;
  /** Of a slot: what other devices on the same bridge have of its windows. */
  readonly takenSpans?: readonly Window[] | undefined;
  /** The reserve asked for at boot, bytes; undefined when unset. */
  readonly memoryReserve: bigint | undefined;
  readonly prefetchableReserve: bigint | undefined;
  /** QOM paths of everything in the port, anonymous devices included. */
  readonly occupants: readonly string[];
}

/** A device of the VM that sits on some bus, ports and bridges included. */
export interface VmDevice {
  /** The qdev id; undefined for a device made without one. */
  readonly id: string | undefined;
  /** Absolute QOM path. */
  readonly path: string;
  readonly type: string;
  /** Absolute QOM path of the bus it is on; undefined where QEMU shows none. */
  readonly parentBus: string | undefined;
  /** devfn = device * 8 + function; undefined for what has no PCI address. */
  readonly devfn: number | undefined;
  /** Host function behind a vfio-pci device, canonical; undefined for others. */
  readonly host: string | undefined;
  readonly sysfsdev: string | undefined;
  /** Id of the iommufd object through which a vfio device has its memory mapped; without one, its group's. */
  readonly iommufd?: string | undefined;
  /** Address in the channel subsystem, `fe.0.0001`; only of a CCW device. */
  readonly devno?: Devno | undefined;
}

/** The partner that every PCI device of an s390x has: what its guest knows the device by. */
export interface ZpciFunction {
  /** The qdev id; undefined where QEMU made it by itself. */
  readonly id: string | undefined;
  readonly path: string;
  /** PCI domain in a Linux guest. */
  readonly uid: number;
  readonly fid: number;
  /** qdev id of the PCI device, which need not exist (yet). */
  readonly target: string;
}

/** What only a VM with a channel subsystem has. */
export interface ChannelFacts {
  /** Addresses in use, whoever uses them. */
  readonly devnos: readonly Devno[];
  readonly zpci: readonly ZpciFunction[];
}

/** A PCI bus of the VM that something sits on or can be plugged into. */
export interface VmBus {
  /** Absolute QOM path: what `parent_bus` of its devices reads. */
  readonly path: string;
  /** What a host bridge offers; every other bus is behind a device. */
  readonly isRoot: boolean;
  /** The bus number in the guest, unknown until the firmware or the guest has numbered the buses. */
  readonly number: Known<number>;
}

/** The VM at one moment. */
export interface VmSnapshot {
  readonly identity: VmIdentity;
  readonly key: VmKey;
  readonly qemu: QemuVersion;
  /** As QEMU names it: `pc-q35-7.2-machine`. */
  readonly machineType: string;
  /** `x86_64`, `aarch64` ... */
  readonly arch: string;
  readonly status: string;
  /** In the order of their guest paths. */
  readonly ports: readonly Port[];
  /** By QOM path. */
  readonly buses: ReadonlyMap<string, VmBus>;
  readonly devices: readonly VmDevice[];
  /** Ids under /objects with their types. */
  readonly objects: ReadonlyMap<string, string>;
  /** RAM of the guest in bytes, where QEMU tells. */
  readonly ramBytes: Known<bigint>;
  /** Only of an s390x VM. */
  readonly channels?: ChannelFacts | undefined;
}
