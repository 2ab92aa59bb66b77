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
export type PortProperty = 'chassis' | 'chassis_nr' | 'slot' | 'mem-reserve' | 'pref64-reserve';

/** A bus whose slots are ports. */
export interface PortBus {
  /** Whose bus it is: a port, a bridge, or the host bridge of a root bus. */
  readonly device: NamedDevice;
  /** The id of its only port, or what the ids of its ports begin with. */
  readonly id: string;
  readonly kind: PortKind;
  /** Absolute QOM path of the bus. */
  readonly path: string;
  /** What `device_add` takes as `bus`. */
  readonly name: string;
  /** Device numbers that take one device each; the ssids of a channel subsystem. */
  readonly slots: readonly number[];
  /** Which properties the port's device has. */
  readonly properties: readonly PortProperty[];
}

/** What to expect of an unplug by one mechanism. Measured with QEMU 7.2 and 10.0 where not said otherwise. */
export interface UnplugBehaviour {
  /** What one request takes out: a single device or function, or all functions of the slot. */
  readonly takes: 'function' | 'slot';
  /** Whether the guest has to let go of the device first; if not, the removal is a surprise to it. */
  readonly asksGuest: boolean;
  /** Whether a reset of the VM completes a request that the guest has not answered. */
  readonly resetCompletes: boolean;
  /** Milliseconds from `device_del` to DEVICE_DELETED with a guest that co-operates. */
  readonly typicalMs: number;
}

/** What can be planned for a VM that is about to be started. */
export interface BootPorts {
  /** The bus that ports and bridges are put on. */
  readonly rootBus: string;
  /** Its device numbers that are free for them, from `first` to `last`. */
  readonly first: number;
  readonly last: number;
  readonly kinds: ReadonlySet<PlannableKind>;
  /** What is planned where nothing is asked for. */
  readonly usual: { readonly kind: PlannableKind; readonly count: number };
}

/** Kinds of ports by the option that asks for them. */
export type PlannableKind = 'root-port' | 'switch-port' | 'pci-bridge' | 'ccw-bridge' | 'pxb';

/** What qmplug knows of a kind of machine. One object per machine, listed in `PROFILES`. */
export interface MachineProfile {
  readonly name: string;
  matches(machine: Machine): boolean;
  /** Whether the machine is meant by a `-machine` argument without properties: `q35`, `pc-q35-7.2`. */
  matchesArgument(machine: string): boolean;
  /** The folder in which the machine's own host bridges are to be looked for, where their place varies. */
  readonly builtIn?: string | undefined;
  /** The buses whose slots are ports, among the given devices and what the machine has by itself. */
  portBuses(devices: readonly NamedDevice[]): readonly PortBus[];
  /** How hot-plug reaches the guest on every bus, where the machine itself sees to it. */
  readonly mechanism?: HotplugMechanism | undefined;
  readonly unplug: Readonly<Partial<Record<HotplugMechanism, UnplugBehaviour>>>;
  readonly boot: BootPorts;
  /** What was never seen to work with a guest; completes "experimental: ". */
  readonly unproven?: string | undefined;
}
