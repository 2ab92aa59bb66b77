import type { Bar } from '../pci/bar.js';

/** The firmware that will number the buses and place the windows. */
export type Firmware = 'seabios' | 'ovmf';

/** What the ports of a VM that is about to be started shall be. */
export interface BootRequest {
  /** QEMU's `-machine` type, with or without version: `q35`, `pc-q35-7.2`. */
  readonly machine: string;
  /** Root ports to plan, up to 240. */
  readonly rootPorts: number;
  /** Ports of PCI Express switches, 32 to a switch. */
  readonly switchPorts?: number | undefined;
  /** Bridges to conventional PCI, with 31 slots each. */
  readonly pciBridges?: number | undefined;
  /** Blocks of 65,536 device numbers in the channel subsystem, up to 4; s390x only. */
  readonly ccwBridges?: number | undefined;
  /**
   * Nodes of the guest to put the ports on, evenly: an extra root bus for each. The nodes themselves, and
   * their memory, are the VM's business.
   */
  readonly numaNodes?: readonly number[] | undefined;
  /**
   * First device number on pcie.0 that the ports may use, 1-30; eight ports share a device. The
   * default is 2, or 1 where the ports do not fit above it. Devices given to QEMU without an
   * explicit address may be in the way of these.
   */
  readonly firstDevice?: number | undefined;
  /**
   * The most ports to plan. Default 192, the most with which a Linux guest was seen to reach user
   * space; up to 240, the most that q35 and SeaBIOS can number.
   */
  readonly portLimit?: number | undefined;
  readonly firmware: Firmware;
  /** RAM at start, bytes. */
  readonly memoryBytes: bigint;
  /** RAM that may be hot-plugged on top (`maxmem` less `size`), bytes. Default 0. */
  readonly hotplugMemoryBytes?: bigint | undefined;
  /**
   * Width of a guest physical address, 32-52 bits. Default 40, what QEMU's own CPU models have;
   * `-cpu host` passes on the width of the host.
   */
  readonly physBits?: number | undefined;
  /** 64-bit prefetchable BARs that each port must be able to take, bytes in sum. */
  readonly windowBytes?: bigint | undefined;
  /** BARs below 4 GiB that each port must be able to take, bytes in sum. */
  readonly memoryWindowBytes?: bigint | undefined;
  /**
   * BARs to make room for, per port in order; a single entry counts for every port. Ports past
   * the end of a longer list are left to `windowBytes` or to the firmware.
   */
  readonly barsPerPort?: readonly (readonly Bar[])[] | undefined;
  /**
   * How hot-plug reaches the guest. Left out, the machine type decides: ACPI since pc-q35-6.1,
   * native before.
   */
  readonly hotplug?: 'acpi' | 'native' | undefined;
  /**
   * OVMF only: size of the 64-bit window to ask for, bytes; a whole number of MiB. Left out, the plan asks
   * for a larger one than OVMF's own where the ports need it.
   */
  readonly mmio64Bytes?: bigint | undefined;
}

/** What is asked of the firmware for one port; undefined leaves a window to its default. */
export interface PlannedWindow {
  /** `pref64-reserve`, bytes. */
  readonly prefetchableBytes: bigint | undefined;
  /** `mem-reserve`, bytes. */
  readonly memoryBytes: bigint | undefined;
}

export interface PlannedPort {
  /** The qdev id: `rp0`, of a switch port `sp0`, of a bridge `pb0`; a block of numbers `ccw0`. */
  readonly id: string;
  readonly kind: 'root-port' | 'downstream-port' | 'pci-bridge' | 'pcie-pci-bridge' | 'ccw-bridge';
  /** The bus the port or bridge sits on. */
  readonly bus: string;
  /** Null for what has none. */
  readonly chassis: number | null;
  /** The port's slot number, 1-255, unique in its chassis; null for what has none. */
  readonly slot: number | null;
  /** Address of the port or bridge on its bus, `0x2.0`; of a block of numbers what they begin with, `fe.0`. */
  readonly addr: string;
  readonly window: PlannedWindow;
  /** Devices that it takes: 1, a bridge 31, a block of numbers 65,536. */
  readonly capacity: number;
  /** Node of the guest that it is on, where nodes were asked for. */
  readonly numaNode?: number | undefined;
}

export interface BootPlan {
  /** Words for QEMU's command line, in order; each is one argument. */
  readonly args: readonly string[];
  readonly ports: readonly PlannedPort[];
  /** What the plan counts on and whoever starts the VM has to see to, in words. */
  readonly expects: readonly string[];
  /** What was never seen to work on this machine; undefined where it was. */
  readonly experimental: string | undefined;
}
