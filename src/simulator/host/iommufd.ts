import { KernelError } from './errno.js';
import { servesVfio } from './drivers.js';
import type { PciFunction } from './pci-function.js';
import { CAP_IPC_LOCK, type Process } from './processes.js';

/** What iommufd asks of the rest of the kernel. */
export interface IommufdWorld {
  process(pid: number): Process;
  processes(): readonly Process[];
  isViable(group: number): boolean;
  /** Whether somebody has the group's node open. */
  isGroupOpen(group: number): boolean;
}

/**
 * Devices bound to iommufd. One process has one context here, in which all its devices share a mapping of its memory;
 * another process's context keeps every device of the group.
 */
export class Iommufd {
  readonly #world: IommufdWorld;
  readonly #bound = new Map<PciFunction, number>();

  constructor(world: IommufdWorld) {
    this.#world = world;
  }

  /** Process that owns a group by a device of it. */
  ownerOf(group: number): number | undefined {
    return [...this.#bound].find(([fn]) => fn.config.group === group)?.[1];
  }

  /**
   * VFIO_DEVICE_BIND_IOMMUFD, and mapping the memory with the first device.
   *
   * @throws {KernelError} `ENODEV` off VFIO, `EBUSY` where the group is another's, `ENOMEM` beyond the limit.
   */
  bind(pid: number, fn: PciFunction, ramBytes: bigint): void {
    const group = fn.config.group;
    if (group === undefined || !servesVfio(fn)) throw new KernelError('ENODEV');
    const owner = this.ownerOf(group);
    const isFree = fn.openedBy === undefined && (owner === undefined || owner === pid);
    // A sibling on a driver of the host owns the DMA of the group, which looks just the same.
    if (!isFree || this.#world.isGroupOpen(group) || !this.#world.isViable(group)) {
      throw new KernelError('EBUSY');
    }
    this.#pin(this.#world.process(pid), ramBytes);
    this.#bound.set(fn, pid);
    fn.openedBy = pid;
  }

  unbind(pid: number, fn: PciFunction): void {
    if (this.#bound.get(fn) !== pid) return;
    this.#bound.delete(fn);
    fn.openedBy = undefined;
    if (![...this.#bound.values()].includes(pid)) this.#world.process(pid).pinnedBytes = 0n;
  }

  isBound(fn: PciFunction): boolean {
    return this.#bound.has(fn);
  }

  /** incr_user_locked_vm, drivers/iommu/iommufd/pages.c: what all processes of the user pin counts. */
  #pin(process: Process, ramBytes: bigint): void {
    if (process.pinnedBytes > 0n) return;
    const ofUser = this.#world.processes().filter(({ uid }) => uid === process.uid);
    const total = ofUser.reduce((sum, { pinnedBytes }) => sum + pinnedBytes, ramBytes);
    const limit = process.memlock.soft;
    const unlimited = limit === undefined || (process.capabilities & CAP_IPC_LOCK) !== 0n;
    if (!unlimited && total > limit) throw new KernelError('ENOMEM');
    process.pinnedBytes = ramBytes;
  }
}
