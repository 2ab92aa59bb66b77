import type { DriverWish } from '../host/driver-wish.js';
import type { JsonObject } from '../json.js';
import type { Bdf } from '../pci/pci-address.js';
import type { RouteWish } from './route.js';

/** What a guest on s390x shall know a PCI device by. */
export interface ZpciNumbers {
  /** PCI domain in a Linux guest, 1-65,535; undefined leaves it to QEMU. */
  readonly uid: number | undefined;
  /** Hot-plug slot in a Linux guest, 0-4,294,967,295; undefined leaves it to QEMU. */
  readonly fid: number | undefined;
}

/** What the two kinds of attach have in common. */
interface CommonRequest {
  /** A port by its id; undefined leaves the choice to the allocator. */
  readonly port: string | undefined;
  /** Reasons passed by name: `unknown-window`, `in-use.net` ... There is no general force. */
  readonly allow: ReadonlySet<string>;
  /** Whether the plan waits until the guest has placed every BAR. */
  readonly awaitPlaced: boolean;
  /** Left out, QEMU chooses the numbers. */
  readonly zpci?: ZpciNumbers | undefined;
}

/** What attaches through VFIO have in common. */
interface ThroughVfio extends CommonRequest {
  /** The way into QEMU; default `auto`. */
  readonly route?: RouteWish | undefined;
}

/** Host functions for the VM, resolved from a selector and expanded to the members asked for. */
export interface VfioRequest extends ThroughVfio {
  readonly kind: 'vfio';
  /** In numeric order, at least one. */
  readonly targets: readonly Bdf[];
  /** The driver of VFIO for each target. */
  readonly drivers: ReadonlyMap<Bdf, string>;
  /** How they were chosen; default `auto`. With `keep` none is bound. */
  readonly wish?: DriverWish | undefined;
  /** Whether the token of a VF was given; it is no part of a plan. */
  readonly hasVfToken?: boolean | undefined;
}

/**
 * Arguments of `device_add` without id, bus and addr; `driver` among them. A list is the functions of one
 * slot from function 0 on, two to eight of them.
 */
export type EmulatedDevice = JsonObject | readonly JsonObject[];

/** A device that QEMU emulates, for practice and tests. */
export interface EmulatedRequest extends CommonRequest {
  readonly kind: 'emulated';
  /** Of function 0; the others have `<id>.<function>`. */
  readonly id: string;
  readonly device: EmulatedDevice;
}

/** A mediated device of the host that exists already. */
export interface MdevAttachRequest extends ThroughVfio {
  readonly kind: 'mdev';
  readonly uuid: string;
  readonly group: number;
  readonly driver: MdevDriver;
}

/**
 * QEMU's devices for a mediated device: a PCI function, a channel device (unproven with hardware) or the
 * crypto queues of a matrix (unproven with hardware).
 */
export const MDEV_DRIVERS = ['vfio-pci', 'vfio-ccw', 'vfio-ap'] as const;
export type MdevDriver = (typeof MDEV_DRIVERS)[number];

export type PlanRequest = VfioRequest | MdevAttachRequest | EmulatedRequest;
