import type { Bdf } from '../../pci/pci-address.js';
import type { HostConfig, MdevTypeConfig } from './config.js';
import type { DeviceNodes } from './device-nodes.js';
import type { DriverCore } from './driver-core.js';
import { KernelError } from './errno.js';
import { createFunction, type PciFunction } from './pci-function.js';
import type { Vfio } from './vfio.js';

/** A mediated device: to VFIO a device like any other, in a group of its own. */
export interface Mdev {
  readonly uuid: string;
  readonly parent: string;
  readonly type: string;
  readonly fn: PciFunction;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
/** The driver that VFIO gives every mdev of a PCI API; there is no native one. */
const DRIVER = 'vfio_mdev';

export interface MdevsParts {
  readonly config: HostConfig;
  readonly drivers: DriverCore;
  readonly nodes: DeviceNodes;
  readonly vfio: Vfio;
  /** Number of a group that nobody has yet. */
  readonly freeGroup: () => number;
}

/** Parents of mediated devices and what they made. Source: drivers/vfio/mdev, Linux 6.1. */
export class Mdevs {
  readonly #parts: MdevsParts;
  readonly #mdevs = new Map<string, Mdev>();

  constructor(parts: MdevsParts) {
    this.#parts = parts;
  }

  /** Types of every parent: functions of the host, and software. */
  get parents(): ReadonlyMap<string, Readonly<Record<string, MdevTypeConfig>>> {
    const { config } = this.#parts;
    const ofFunctions = (config.functions ?? []).flatMap(
      ({ bdf, mdevTypes }): [string, Readonly<Record<string, MdevTypeConfig>>][] =>
        mdevTypes === undefined ? [] : [[bdf, mdevTypes]],
    );
    return new Map([...ofFunctions, ...Object.entries(config.mdevParents ?? {})]);
  }

  /** By UUID, in order of making. */
  get all(): ReadonlyMap<string, Mdev> {
    return this.#mdevs;
  }

  /** Each as the device that VFIO sees, in order of making. */
  get functions(): readonly PciFunction[] {
    return [...this.#mdevs.values()].map(({ fn }) => fn);
  }

  members(group: number): readonly PciFunction[] {
    return this.functions.filter(({ config }) => config.group === group);
  }

  /** What one type takes of the parent's units, its siblings lose. */
  available(parent: string, type: string): number {
    const types = this.parents.get(parent) ?? {};
    const { capacity, units = 1 } = types[type] ?? { capacity: 0 };
    const used = [...this.#mdevs.values()]
      .filter((mdev) => mdev.parent === parent)
      .reduce((sum, mdev) => sum + (types[mdev.type]?.units ?? 1), 0);
    return Math.floor(Math.max(0, capacity - used) / units);
  }

  /**
   * `create`. Source: create_store, drivers/vfio/mdev/mdev_sysfs.c; for a parent that counts its units itself,
   * mtty_init_dev, samples/vfio-mdev/mtty.c, Linux 6.1.
   *
   * @throws {KernelError} `EINVAL` for no UUID, `EEXIST`, `ENOSPC` when none is left.
   */
  create(parent: string, type: string, data: string): void {
    const { drivers, freeGroup, vfio } = this.#parts;
    drivers.loadModule('vfio');
    const uuid = data.trim().toLowerCase();
    if (!UUID.test(uuid)) throw new KernelError('EINVAL');
    if (this.#mdevs.has(uuid)) throw new KernelError('EEXIST');
    if (this.available(parent, type) === 0) throw new KernelError('ENOSPC');
    const fn: PciFunction = {
      ...createFunction({
        bdf: '0000:00:00.0',
        vendorId: 0x4348,
        deviceId: 0x3253,
        classCode: 0x070002,
        group: freeGroup(),
      }),
      // VFIO and QEMU know it by this name alone.
      bdf: uuid as Bdf,
      driver: DRIVER,
    };
    this.#mdevs.set(uuid, { uuid, parent, type, fn });
    vfio.deviceBound(fn);
  }

  /** `remove`: waits while the device is open, as the kernel does. @throws {KernelError} `ENODEV` */
  async remove(uuid: string): Promise<void> {
    const mdev = this.#mdevs.get(uuid);
    if (mdev === undefined) throw new KernelError('ENODEV');
    await this.#parts.nodes.waitUntilClosed(mdev.fn);
    this.#mdevs.delete(uuid);
    mdev.fn.driver = undefined;
    this.#parts.vfio.deviceUnbound(mdev.fn);
  }
}
