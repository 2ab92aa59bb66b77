import type { JsonObject } from '../../json.js';
import type { HotplugMechanism, PortKind } from '../types.js';

/** What tells one machine from another. */
export interface Machine {
  /** QOM type of /machine: `pc-q35-7.2-machine`. */
  readonly type: string;
  /** `query-target`: `x86_64`. */
  readonly arch: string;
}

/** A device of the VM, as far as a profile looks at it. */
export interface NamedDevice {
  /** The qdev id; undefined for a device made without one. */
  readonly id: string | undefined;
  readonly path: string;
  readonly type: string;
}

/** A number that a port's device carries as a QOM property. */
export type PortProperty = 'chassis' | 'slot' | 'mem-reserve' | 'pref64-reserve';

/** A bus whose slots are ports. */
export interface PortBus {
  /** The device that offers the bus. */
  readonly device: NamedDevice & { readonly id: string };
  readonly kind: PortKind;
  /** Absolute QOM path of the bus. */
  readonly path: string;
  /** What `device_add` takes as `bus`. */
  readonly name: string;
  /** Device numbers that take one device each. */
  readonly slots: readonly number[];
  /** Which properties the port's device has. */
  readonly properties: readonly PortProperty[];
}

/** What to expect of an unplug by one mechanism. Measured with QEMU 7.2 and 10.0. */
export interface UnplugBehaviour {
  /** What one request takes out: a single function, or all functions of the slot. */
  readonly takes: 'function' | 'slot';
  /** Whether a reset of the VM completes a request that the guest has not answered. */
  readonly resetCompletes: boolean;
  /** Milliseconds from `device_del` to DEVICE_DELETED with a guest that co-operates. */
  readonly typicalMs: number;
}

/** What qmplug knows of a kind of machine. One object per machine, listed in `PROFILES`. */
export interface MachineProfile {
  readonly name: string;
  matches(machine: Machine): boolean;
  /** The buses whose slots are ports, among the given devices. */
  portBuses(devices: readonly NamedDevice[]): readonly PortBus[];
  /** The arguments of `device_add` that put a function into a slot of a bus. */
  placement(place: PortPlace): JsonObject;
  readonly unplug: Readonly<Partial<Record<HotplugMechanism, UnplugBehaviour>>>;
}

/** Where one function goes. */
export interface PortPlace {
  readonly busName: string;
  readonly slot: number;
  readonly function: number;
}
