import type { Bdf } from '../../pci/pci-address.js';
import { KernelError } from './errno.js';
import { managesDma, servesVfio } from './drivers.js';
import type { PciFunction } from './pci-function.js';
import { closeFd, openFd, CAP_IPC_LOCK, type Process } from './processes.js';

/** A node under /dev that comes and goes with VFIO. */
export interface DeviceNode {
  readonly major: number;
  readonly minor: number;
  readonly inode: bigint;
  uid: number;
  gid: number;
  mode: number;
}

const VFIO_MAJOR = 243;
const CDEV_MAJOR = 511;

/** What the kernel's other half answers about functions and processes. */
export interface VfioWorld {
  members(group: number): readonly PciFunction[];
  process(pid: number): Process;
  find(bdf: Bdf): PciFunction | undefined;
  readonly cdev: boolean;
  readonly interruptRemapping: boolean;
  allowUnsafeInterrupts(): boolean;
  /** Whether a device of the group is open through its own node. */
  isBoundToIommufd(group: number): boolean;
}

/** VFIO: group nodes, ownership of groups, open devices, pinned memory. */
export class Vfio {
  readonly #world: VfioWorld;
  readonly #groupNodes = new Map<number, DeviceNode>();
  readonly #cdevNodes = new Map<number, DeviceNode>();
  /** Group number -> process that has it open. */
  readonly #owners = new Map<number, number>();
  /** Pid -> bytes its one container pins. */
  readonly #pinned = new Map<number, bigint>();
  #nextInode = 700n;
  #nextIndex = 0;

  constructor(world: VfioWorld) {
    this.#world = world;
  }

  get groupNodes(): ReadonlyMap<number, DeviceNode> {
    return this.#groupNodes;
  }

  /** By the N of `vfio<N>`. */
  get cdevNodes(): ReadonlyMap<number, DeviceNode> {
    return this.#cdevNodes;
  }

  ownerOf(group: number): number | undefined {
    return this.#owners.get(group);
  }

  /** A VFIO driver took the function: its nodes appear, fresh as the kernel makes them. */
  deviceBound(fn: PciFunction): void {
    const group = fn.config.group;
    if (group !== undefined && !this.#groupNodes.has(group)) {
      this.#groupNodes.set(group, this.#freshNode(VFIO_MAJOR, group));
    }
    fn.vfioIndex = this.#nextIndex++;
    if (this.#world.cdev) {
      this.#cdevNodes.set(fn.vfioIndex, this.#freshNode(CDEV_MAJOR, fn.vfioIndex));
    }
  }

  /** The function left its VFIO driver: the group's node goes with the last one. */
  deviceUnbound(fn: PciFunction): void {
    if (fn.vfioIndex !== undefined) this.#cdevNodes.delete(fn.vfioIndex);
    fn.vfioIndex = undefined;
    const group = fn.config.group;
    if (group === undefined) return;
    if (!this.#world.members(group).some(servesVfio)) {
      this.#groupNodes.delete(group);
    }
  }

  #freshNode(major: number, minor: number): DeviceNode {
    return { major, minor, inode: this.#nextInode++, uid: 0, gid: 0, mode: 0o600 };
  }

  /** @throws {KernelError} `ENOENT`, `EACCES`, `EBUSY`. */
  openGroup(pid: number, group: number): void {
    if (this.#owners.get(group) === pid) return;
    const process = this.#world.process(pid);
    const node = this.#groupNodes.get(group);
    if (node === undefined) throw new KernelError('ENOENT');
    if (!mayOpen(process, node)) throw new KernelError('EACCES');
    if (this.#owners.has(group) || this.#world.isBoundToIommufd(group)) {
      throw new KernelError('EBUSY');
    }
    this.#owners.set(group, pid);
    openFd(process, `/dev/vfio/${group}`);
  }

  /** Whether every member is unbound or on a driver that leaves DMA to the owner of the group. */
  isViable(group: number): boolean {
    return this.#world
      .members(group)
      .every((fn) => fn.driver === undefined || managesDma(fn.driver) || servesVfio(fn));
  }

  /**
   * Maps guest RAM for the process's first group; later ones share the container.
   *
   * @throws {KernelError} `EPERM` without interrupt remapping, `ENOMEM` beyond RLIMIT_MEMLOCK.
   */
  attachContainer(pid: number, ramBytes: bigint): void {
    if (this.#pinned.has(pid)) return;
    const process = this.#world.process(pid);
    if (!this.#world.interruptRemapping && !this.#world.allowUnsafeInterrupts()) {
      throw new KernelError('EPERM');
    }
    const limit = process.memlock.soft;
    const unlimited = limit === undefined || (process.capabilities & CAP_IPC_LOCK) !== 0n;
    if (!unlimited && ramBytes > limit) throw new KernelError('ENOMEM');
    this.#pinned.set(pid, ramBytes);
    process.lockedBytes = ramBytes;
    openFd(process, '/dev/vfio/vfio');
  }

  /**
   * @param token of a VF whose PF is with VFIO too.
   * @throws {KernelError} `ENODEV` off VFIO, `EBUSY` when it is open already, `EACCES` without its token, `EINVAL` with
   * one that nobody asks for.
   */
  openDevice(pid: number, fn: PciFunction, token?: string): void {
    if (!servesVfio(fn)) throw new KernelError('ENODEV');
    this.#checkToken(fn, token);
    if (fn.openedBy !== undefined) throw new KernelError('EBUSY');
    fn.openedBy = pid;
    openFd(this.#world.process(pid), 'anon_inode:[vfio-device]');
  }

  /** vfio_pci_validate_vf_token, drivers/vfio/pci/vfio_pci_core.c, 6.12. */
  #checkToken({ physfn }: PciFunction, token: string | undefined): void {
    const pf = physfn === undefined ? undefined : this.#world.find(physfn);
    if (pf === undefined || !servesVfio(pf)) {
      if (token !== undefined) throw new KernelError('EINVAL');
      return;
    }
    if (token === undefined || token !== pf.config.sriov?.vfToken) throw new KernelError('EACCES');
  }

  /** Closes the device, and with its last device the group, and with the last group the container. */
  closeDevice(pid: number, fn: PciFunction): void {
    if (fn.openedBy === pid) {
      fn.openedBy = undefined;
      closeFd(this.#world.process(pid), 'anon_inode:[vfio-device]');
    }
    const group = fn.config.group;
    if (group !== undefined) this.closeGroupIfUnused(pid, group);
    for (const wake of fn.closeWaiters.splice(0)) wake();
  }

  closeGroupIfUnused(pid: number, group: number): void {
    if (this.#owners.get(group) !== pid) return;
    if (this.#world.members(group).some(({ openedBy }) => openedBy === pid)) return;
    const process = this.#world.process(pid);
    this.#owners.delete(group);
    closeFd(process, `/dev/vfio/${group}`);
    if ([...this.#owners.values()].includes(pid)) return;
    if (this.#pinned.delete(pid)) closeFd(process, '/dev/vfio/vfio');
    process.lockedBytes = 0n;
  }

  /** The process is gone: the kernel closes everything it had. */
  releaseAll(pid: number, functions: Iterable<PciFunction>): readonly Bdf[] {
    const released: Bdf[] = [];
    for (const fn of functions) {
      if (fn.openedBy !== pid) continue;
      released.push(fn.bdf);
      this.closeDevice(pid, fn);
    }
    for (const [group, owner] of [...this.#owners]) {
      if (owner === pid) this.closeGroupIfUnused(pid, group);
    }
    return released;
  }
}

/** Whether owner and mode let the process open the node. */
export function mayOpen(process: Process, node: DeviceNode): boolean {
  if (process.uid === 0) return true;
  if (process.uid === node.uid) return (node.mode & 0o600) === 0o600;
  if (process.gid === node.gid || process.groups.includes(node.gid)) {
    return (node.mode & 0o060) === 0o060;
  }
  return (node.mode & 0o006) === 0o006;
}
