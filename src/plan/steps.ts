import type { VfChange } from '../host/effects.js';
import type { Plan } from '../engine/index.js';

import type { JsonObject } from '../json.js';
import type { Bdf } from '../pci/pci-address.js';
import type { VmIdentity } from '../vm/types.js';
import type { EmulatedDevice } from './request.js';
import type { Route } from './route.js';

/**
 * The steps of attach and detach as plain data. What each does stands in `hotplug/steps`, one file a
 * kind.
 */
export type HotplugStep =
  | ReserveGroup
  | BindDriver
  | GrantAccess
  | AddIommufd
  | AddZpci
  | AddDevice
  | AwaitGuest
  | RemoveDevice
  | AwaitRemoval
  | RemoveIommufd
  | RevokeAccess
  | RestoreDriver
  | ReleaseGroup
  | ForgetAttachment
  | ForgetStep
  | LiftQuarantine
  | CreateVfs
  | RemoveVfs
  | SetVf
  | CreateMdev
  | RemoveMdev
  | SetVgpuType;

/** Takes an IOMMU group for this VM, host-wide. */
export interface ReserveGroup {
  readonly kind: 'ReserveGroup';
  readonly group: number;
  /** The attach plan that takes it. */
  readonly planId: string;
}

/** Takes a function from its driver and gives it to a VFIO driver. */
export interface BindDriver {
  readonly kind: 'BindDriver';
  readonly bdf: Bdf;
  readonly group: number;
  /** Directory name under /sys/bus/pci/drivers. */
  readonly driver: string;
}

/** Lets QEMU's user open the node that the route leads through, and QEMU lock the guest's memory. */
export interface GrantAccess {
  readonly kind: 'GrantAccess';
  readonly group: number;
  /** Left out for the group's node. */
  readonly route?: Route;
  /** Functions and mdevs of the group whose own nodes QEMU opens on the route `iommufd`. */
  readonly devices?: readonly string[];
  readonly qemuPid: number;
  /** What the process must be able to lock; undefined where the guest's RAM is unknown. */
  readonly memlockBytes: number | undefined;
}

/** Sees to it that the VM has the iommufd object which all its devices share. */
export interface AddIommufd {
  readonly kind: 'AddIommufd';
  readonly id: string;
  /** QEMU is handed /dev/iommu open, under this name; without it QEMU opens it itself. */
  readonly fd?: string;
}

/** Makes the partner by whose numbers the guest of an s390x knows a PCI device. Never taken back. */
export interface AddZpci {
  readonly kind: 'AddZpci';
  readonly id: string;
  /** qdev id of the PCI device, which comes next. */
  readonly target: string;
  /** 1-65,535; undefined leaves it to QEMU. */
  readonly uid: number | undefined;
  /** 0-4,294,967,295; undefined leaves it to QEMU. */
  readonly fid: number | undefined;
}

/** One `device_add`, verified by id, parent bus and address. */
export interface AddDevice {
  readonly kind: 'AddDevice';
  readonly id: string;
  readonly driver: string;
  /** The port's id. */
  readonly port: string;
  /** What `device_add` takes as `bus`. */
  readonly bus: string;
  /** What `parent_bus` must read afterwards. */
  readonly busPath: string;
  /**
   * `0x<slot>` or `0x<slot>.<function>`, always sent as `addr`; of a channel device the number that is sent
   * as `devno`; empty for what has neither.
   */
  readonly addr: string;
  /** What `addr` must read afterwards: slot * 8 + function. Undefined for what is not on PCI. */
  readonly devfn: number | undefined;
  /** The host function or the mdev's UUID, for vfio-pci. */
  readonly host: string | undefined;
  /** Everything else of the command. An `fd` among it names the host's device node, which is handed over first. */
  readonly properties: JsonObject;
  /** How long QEMU may take: pinning guest memory and mapping BARs happen inside the command. */
  readonly deadlineMs: number;
  /** The device's BARs are known only once it is there: they are held against the port's windows then. */
  readonly judgeBars?: true;
  /** `vf-token` goes with it, which no plan holds. */
  readonly withVfToken?: true;
}

/** Waits until the guest has given every BAR an address. */
export interface AwaitGuest {
  readonly kind: 'AwaitGuest';
  readonly ids: readonly string[];
}

/** Asks the guest to release everything in one port. */
export interface RemoveDevice {
  readonly kind: 'RemoveDevice';
  readonly port: string;
  /** Whom `device_del` names: function 0, so that the whole slot goes. */
  readonly id: string;
  /** Everything that goes with it, `id` included. */
  readonly ids: readonly string[];
}

/** Proof that devices are gone: out of QOM, and their group nodes without a holder. */
export interface AwaitRemoval {
  readonly kind: 'AwaitRemoval';
  readonly ids: readonly string[];
  /** Groups of which nothing stays in the VM. */
  readonly groups: readonly number[];
  /** QEMU had the devices' own nodes open rather than the groups'. */
  readonly cdevs?: boolean;
  /** Whom `device_del` named, to be asked again where a request was lost; one for each port. */
  readonly asks?: readonly string[];
}

/** Takes the VM's iommufd object away with its last user, told from QEMU. */
export interface RemoveIommufd {
  readonly kind: 'RemoveIommufd';
  readonly id: string;
}

/** Gives node ownership and memory limit back. */
export interface RevokeAccess {
  readonly kind: 'RevokeAccess';
  readonly group: number;
  /** What GrantAccess recorded. */
  readonly record: unknown;
  /** The attach plan that it was given to, of whose limit nobody has need any more. */
  readonly planId: string;
}

/** Gives a function back to the driver it had, override included. */
export interface RestoreDriver {
  readonly kind: 'RestoreDriver';
  readonly bdf: Bdf;
  readonly group: number;
  /** The id it had in the VM; undefined where it was in none. */
  readonly id?: string | undefined;
  /** What BindDriver recorded. */
  readonly record: unknown;
}

/** Gives the group back, host-wide. */
export interface ReleaseGroup {
  readonly kind: 'ReleaseGroup';
  readonly group: number;
  /** The attach plan that took it. */
  readonly planId: string;
}

/** Removes the attach plan from the journal: nothing of it is in the world any more. */
export interface ForgetAttachment {
  readonly kind: 'ForgetAttachment';
  readonly planId: string;
}

/** Makes virtual functions of a PF that has none. */
export interface CreateVfs {
  readonly kind: 'CreateVfs';
  readonly pf: Bdf;
  readonly count: number;
}

/** Removes every virtual function of a PF. */
export interface RemoveVfs {
  readonly kind: 'RemoveVfs';
  readonly pf: Bdf;
}

/** Gives a virtual function its address, its VLAN and what it may do, through its PF's network interface. */
export interface SetVf {
  readonly kind: 'SetVf';
  readonly pf: Bdf;
  readonly netdev: string;
  /** The VF's number at its PF. */
  readonly index: number;
  readonly change: VfChange;
}

/** Makes a mediated device. */
export interface CreateMdev {
  readonly kind: 'CreateMdev';
  readonly uuid: string;
  /** Its name under /sys/class/mdev_bus. */
  readonly parent: string;
  readonly type: string;
}

/** Removes a mediated device. */
export interface RemoveMdev {
  readonly kind: 'RemoveMdev';
  readonly uuid: string;
}

/** Makes a VF a vGPU of NVIDIA's, or none. */
export interface SetVgpuType {
  readonly kind: 'SetVgpuType';
  readonly bdf: Bdf;
  /** Decimal id of the type; `0` for none. */
  readonly type: string;
}

/** Takes a device out of quarantine. */
export interface LiftQuarantine {
  readonly kind: 'LiftQuarantine';
  readonly device: string;
}

/**
 * Notes in an earlier plan of the host that one of its steps was taken back, and removes the plan with the
 * last of them.
 */
export interface ForgetStep {
  readonly kind: 'ForgetStep';
  readonly planId: string;
  /** Its place in that plan. */
  readonly step: number;
}

/** What a plan is about; read by status and recovery. */
export type Subject = VmSubject | HostSubject;

/** A plan for one VM. */
export type VmSubject =
  | {
      readonly kind: 'attach';
      readonly address: string;
      readonly vm: VmIdentity;
      readonly request: AttachSubject;
    }
  | {
      readonly kind: 'detach';
      readonly address: string;
      readonly vm: VmIdentity;
      /** The attach plan it ends; undefined for devices somebody else attached. */
      readonly attachment: string | undefined;
      readonly ids: readonly string[];
    };

/** A plan for the host alone: what it did stays until it is asked back, or the host reboots. */
export interface HostSubject {
  readonly kind: 'host';
  readonly bootId: string;
  /** Functions by address, mdevs by UUID. */
  readonly devices: readonly string[];
}

/** The scope of every plan for the host alone. */
export const HOST_SCOPE = 'host';

/** What was asked for, in its resolved form. */
export interface AttachSubject {
  /** Host functions of a VFIO attach in numeric order, or the UUID of an mdev; empty for an emulated device. */
  readonly hosts: readonly string[];
  /** Properties of an emulated device, or of its functions, as asked. */
  readonly device: EmulatedDevice | undefined;
}

export type HotplugPlan = Plan<HotplugStep, Subject>;
