import type { StepReport } from '../engine/index.js';
import type { QmplugError } from '../errors.js';
import type { DriverWish } from '../host/driver-wish.js';
import type { RequestOptions, Rule } from '../host/selector/index.js';
import type { JsonObject } from '../json.js';
import type { Members } from '../plan/members.js';
import type { ZpciNumbers } from '../plan/request.js';
import type { Route, RouteWish } from '../plan/route.js';
import type { HotplugPlan } from '../plan/steps.js';

/** What to attach. */
export type AttachRequest = AttachHostDevice | AttachEmulated;

interface AttachCommon {
  /** A port by its id; left out, the lowest-numbered free one that fits is taken. */
  readonly port?: string | undefined;
  /**
   * Reasons that may be passed over, each by its name, as the refusal gives it: `unknown-window`,
   * `in-use.net` ... There is no general force.
   */
  readonly allow?: readonly string[] | undefined;
  /** `placed` waits until a driver of the guest decodes every memory BAR; without a driver none ever does. */
  readonly wait?: 'placed' | undefined;
  /** s390x only: what the guest shall know the PCI device by. Left out, QEMU chooses. */
  readonly zpci?: ZpciNumbers | undefined;
}

/** The way of a host device into QEMU: through the node of its IOMMU group, or through iommufd. */
export interface RouteReport {
  readonly kind: Route;
  /** Why this one; left out for what was attached before. */
  readonly why?: string;
}

/** A device of the host, through VFIO. */
export interface AttachHostDevice extends AttachCommon {
  /**
   * Which one: a selector, for example `0000:3b:00.0` or `id:10de:2204 numa:0`. A list of selectors, each for one
   * function, makes one attachment of all of them.
   */
  readonly device: string | readonly string[];
  /** For whom it was set aside with `host reserve`. */
  readonly reservedFor?: string | undefined;
  /** Rules before the default ones, asked of the device and of all that goes with it. */
  readonly rules?: readonly Rule[] | undefined;
  /** What goes with it; default `device`, which is the one function. */
  readonly members?: Members | undefined;
  /**
   * How QEMU comes by it. `group`: it opens the node of the IOMMU group. `iommufd`: it opens /dev/iommu and the
   * device's own node, or is handed them where it may not. `descriptors`: it is handed both open. Default
   * `auto`: iommufd where host and QEMU have it, else the group.
   */
  readonly route?: RouteWish | undefined;
  /** The driver that it goes in with; default `auto`. What goes along with it goes by the same choice. */
  readonly driver?: DriverWish | undefined;
  /**
   * The UUID that whoever has the physical function has set, for a VF of one that is with VFIO itself. A secret: it
   * goes to QEMU and is kept nowhere.
   */
  readonly vfToken?: string | undefined;
}

/** How a choice among the host's devices is made, besides the selector. */
export interface DeviceChoice extends RequestOptions {
  /** Selectors that are tried in order where the first cannot be had. */
  readonly orElse?: readonly string[] | undefined;
  /** NUMA nodes of the VM, for `numa` and `numa:near`. */
  readonly nearNodes?: readonly number[] | undefined;
  /** Permits a selector that every device matches. */
  readonly yesAll?: boolean | undefined;
}

/** Devices of the host by a policy: as many as it chooses, an attachment each. */
export interface AttachBatchRequest extends Omit<AttachHostDevice, 'device' | 'port' | 'zpci'> {
  readonly device: string;
  readonly choice?: DeviceChoice | undefined;
  /** Keeps what could be attached where something cannot. Default false: all or none. */
  readonly partial?: boolean | undefined;
}

/** What became of the devices of one attachment in a batch. */
export type BatchEntry =
  | {
      readonly kind: 'attached';
      /** Host addresses; what shares a slot or an IOMMU group goes together. */
      readonly devices: readonly string[];
      readonly result: AttachResult;
    }
  /** Only with `partial`. */
  | { readonly kind: 'failed'; readonly devices: readonly string[]; readonly error: QmplugError };

/** What a batch would do now. */
export interface BatchPreviewEntry {
  readonly devices: readonly string[];
  readonly preview: AttachPreview;
}

/** A device that QEMU emulates, for practice and tests. */
export interface AttachEmulated extends AttachCommon {
  /**
   * Arguments of `device_add` without id, bus and addr: `{driver: 'pci-testdev'}`. A list of one to eight is
   * the functions of one slot, from function 0 on: they come and go together.
   */
  readonly emulate: JsonObject | readonly JsonObject[];
  /** Of a list that of function 0; the others are called `<id>.1` to `<id>.7`. */
  readonly id: string;
}

/** Options of everything that may wait. */
export interface WaitOptions {
  /**
   * Stops the waiting, not what was begun: a command once sent is never un-sent, and a plan that was
   * begun ends itself or is finished by a later command.
   */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds for everything: the lock, the monitor and the guest. Default 15,000. */
  readonly timeoutMs?: number | undefined;
  /** The caller's id of this request, for the log and the answer; left out, it gets one. */
  readonly requestId?: string | undefined;
}

export interface DetachOptions extends WaitOptions {
  /** False returns once the guest was asked. Default true. */
  readonly wait?: boolean | undefined;
  /** `slot-mates`: whatever else sits in the slot may go too. */
  readonly allow?: readonly string[] | undefined;
}

/** One BAR as the guest has it. Addresses and sizes in bytes. */
export interface BarReport {
  readonly bar: number;
  readonly sizeBytes: bigint;
  /** Undefined while the guest has not placed it. */
  readonly address: bigint | undefined;
}

/** One function in the VM. */
export interface FunctionReport {
  readonly id: string;
  /** Host address; undefined for an emulated device. */
  readonly host: string | undefined;
  readonly port: string;
  /** As `device_add` takes it: `0x0`, `0x0.1`; of a channel device its `devno`. */
  readonly addr: string;
  /**
   * Slots from the root bus, `02/00`; with its root where that is not bus 0 of domain 0,
   * `pci0000:80/00/00`. Of a channel device the guest's name for it, `0.1.0042`. Empty where not known.
   */
  readonly guestPath: string;
  /** `0000:01:00.0`, on s390x `0001:00:00.0`; undefined until the guest's buses are numbered. */
  readonly guestBdf: string | undefined;
  readonly bars: readonly BarReport[];
}

export interface AttachmentReport {
  /** IOMMU group; the first, where a slot spans several; undefined for an emulated device. */
  readonly group: number | undefined;
  /** Whether it was there before this request. */
  readonly already: boolean;
  /** Left out for an emulated device. */
  readonly route?: RouteReport | undefined;
  readonly functions: readonly FunctionReport[];
}

/** Something true of an attach that succeeded which its caller had better know. */
export interface AttachWarning {
  /**
   * `window-unknown`: whether the BARs go through the port's windows cannot be told yet; `no-window`: they
   * do not, and the guest will not place them all; `guest-booting`: a guest may take back what it
   * finds while it boots; `given-back`: the guest did so, and the device was attached once more.
   */
  readonly code: 'window-unknown' | 'no-window' | 'guest-booting' | 'given-back';
  readonly message: string;
}

export interface AttachResult {
  readonly attachment: AttachmentReport;
  readonly warnings: readonly AttachWarning[];
  readonly steps: readonly StepReport[];
  /** What `wait` still waited for at the deadline; the device is attached and stays so. */
  readonly pending: string | undefined;
}

/** What `attach` would do now. */
export type AttachPreview =
  | { readonly kind: 'plan'; readonly plan: HotplugPlan; readonly route?: RouteReport | undefined }
  /** Nothing: it is there as asked. */
  | { readonly kind: 'already'; readonly result: AttachResult };

/**
 *   requested -> pending -> unplugged (gone from QEMU) -> released (host proven restored)
 *                        -> refused               -> quarantined (dead, so not given back to a driver)
 */
export type RemovalState =
  'requested' | 'pending' | 'unplugged' | 'released' | 'quarantined' | 'refused';

export interface RemovalReport {
  readonly id: string;
  readonly state: RemovalState;
  /** Milliseconds this call spent on it. */
  readonly ms: number;
}

export interface DetachResult {
  readonly removals: readonly RemovalReport[];
  readonly steps: readonly StepReport[];
  /** What is still waited for; undefined when it is over. */
  readonly pending: string | undefined;
}

/** What a reconciliation did. */
export interface RecoveryItem {
  readonly planId: string;
  /** `attach` or `detach`. */
  readonly kind: string;
  readonly vm: string;
  readonly ids: readonly string[];
  /** `waiting` will end by itself or with the guest's help; `unknown` and `stopped` need a look. */
  readonly outcome: 'done' | 'undone' | 'waiting' | 'unknown' | 'stopped';
  /** Why it is open, or what it was undone for. */
  readonly reason: string | undefined;
}

export interface RecoveryResult {
  /** Went forward to its end. */
  readonly finished: readonly RecoveryItem[];
  /** Was taken back. */
  readonly undone: readonly RecoveryItem[];
  /** Could not end yet. */
  readonly open: readonly RecoveryItem[];
}
