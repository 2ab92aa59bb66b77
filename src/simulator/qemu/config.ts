import type { JsonValue } from '../../json.js';
import type { GuestConfig } from '../guest-config.js';
import type { ProcessConfig } from '../host/config.js';
import type { ReleaseName } from './releases.js';

/** A device of the command line, as `-device` takes it. */
export interface ColdDevice {
  readonly driver: string;
  readonly id?: string;
  readonly bus?: string;
  readonly addr?: string;
  readonly [property: string]: JsonValue | undefined;
}

/**
 * A QEMU of machine type q35, unless told otherwise. `argumentsOf` turns the same configuration into the command line of a
 * real one, so that both can be given the same commands.
 */
export interface QemuConfig {
  readonly release?: ReleaseName;
  /** `s390-ccw-virtio` takes channel devices and crypto queues, and no PCI functions. Default `q35`. */
  readonly machine?: 'q35' | 's390-ccw-virtio';
  /** Of a mainframe: whether it has the bus of crypto queues, as under KVM with the CPU feature `ap`. */
  readonly cryptoQueues?: boolean;
  readonly name?: string;
  readonly uuid?: string;
  /** How cold-plugged ports hot-plug; default `acpi`, as the machine type has it. */
  readonly hotplug?: 'acpi' | 'native';
  readonly memoryBytes?: bigint;
  /** Ports and devices of the command line, in its order. */
  readonly devices?: readonly ColdDevice[];
  /** `-S`: nothing runs until `cont`. */
  readonly startPaused?: boolean;
  /** Monitor addresses; default one, `unix:/run/<name>.sock`. */
  readonly monitors?: readonly string[];
  /** Whether the monitors advertise `oob`; default true. */
  readonly oob?: boolean;
  readonly guest?: GuestConfig;
  readonly firmware?: FirmwareConfig;
  /** Who QEMU runs as on the simulated host. */
  readonly process?: Omit<ProcessConfig, 'command' | 'arguments'>;
  readonly timing?: Timing;
}

export interface FirmwareConfig {
  /**
   * `natural` (default, as OVMF): a 64-bit window starts at a multiple of its size. `2M` (SeaBIOS
   * with all RAM below 4 GiB): anywhere, so that a window of the right length can be too small.
   */
  readonly windowAlignment?: 'natural' | '2M';
}

/** How long things take, in ms. Ranges are drawn from the seed. */
export interface Timing {
  /** Opening a VFIO device: reset, pinning of RAM. */
  readonly vfioOpenMs?: readonly [number, number];
  /** From the last use of an object to its DEVICE_DELETED. */
  readonly graceMs?: readonly [number, number];
  /** A command's stay in the main loop. */
  readonly commandMs?: readonly [number, number];
  /** How much longer a failing `device_add` takes. */
  readonly failureMs?: readonly [number, number];
}

/** Measured on QEMU 7.2.22 and 10.0.13 under TCG. */
export const MEASURED_TIMING: Required<Timing> = {
  vfioOpenMs: [120, 2400],
  graceMs: [10, 60],
  commandMs: [0.2, 2],
  failureMs: [20, 60],
};

export interface RootPortOptions {
  /** Default `rp`: rp0, rp1, ... */
  readonly prefix?: string;
  /** PCI device number of the first port; default 2. */
  readonly firstDevice?: number;
  /** Properties of every port: `pref64-reserve`, `hotplug` ... */
  readonly properties?: Readonly<Record<string, JsonValue>>;
}

/** Root ports on pcie.0, one per PCI device number, with chassis and slot counted from 1. */
export function rootPorts(count: number, options: RootPortOptions = {}): readonly ColdDevice[] {
  const { prefix = 'rp', firstDevice = 2, properties = {} } = options;
  return Array.from({ length: count }, (_, index) => ({
    driver: 'pcie-root-port',
    id: `${prefix}${index}`,
    bus: 'pcie.0',
    addr: `0x${(firstDevice + index).toString(16)}`,
    chassis: index + 1,
    slot: index + 1,
    ...properties,
  }));
}
