import type { Clock } from '../../clock.js';
import type { Bdf } from '../../pci/pci-address.js';
import type { Trace } from '../trace.js';
import { KernelError } from './errno.js';
import type { FunctionTable } from './function-table.js';
import type { Iommufd } from './iommufd.js';
import type { KernelLog } from './kernel-log.js';
import { SimulatedNode } from './open-node.js';
import type { PciFunction } from './pci-function.js';
import { openFd, type ProcessTable } from './processes.js';
import { mayOpen, type DeviceNode, type Vfio } from './vfio.js';

/** vfio_unregister_group_dev asks the user again at this interval, and logs each tenth time (Linux 6.12). */
const DEVICE_REQUEST_MS = 10_000;
const LOGGED_REQUEST = 10;

/** Called when somebody on the host wants a device back that a process has open. */
export type DeviceRequestListener = (bdf: Bdf, count: number) => void;

/** What the nodes stand for, and who opens them. */
export interface DeviceNodesParts {
  /** Whether the kernel has iommufd and the nodes of single devices. */
  readonly cdev: boolean;
  readonly clock: Clock;
  readonly functions: FunctionTable;
  readonly iommufd: Iommufd;
  readonly log: KernelLog;
  readonly processes: ProcessTable;
  readonly trace: Trace;
  readonly vfio: Vfio;
}

/** The nodes below /dev that VFIO makes, and the processes that hold them. */
export class DeviceNodes {
  /** `/dev/vfio/vfio`. */
  readonly control: DeviceNode = { ...node(196, 600n), mode: 0o666 };
  /** `/dev/iommu`. */
  readonly iommu: DeviceNode = { ...node(127, 601n), mode: 0o660 };
  readonly #parts: DeviceNodesParts;
  readonly #listeners = new Map<number, DeviceRequestListener>();

  constructor(parts: DeviceNodesParts) {
    this.#parts = parts;
  }

  /** Process that has an IOMMU group, by whichever node. */
  ownerOf(group: number): number | undefined {
    return this.#parts.vfio.ownerOf(group) ?? this.#parts.iommufd.ownerOf(group);
  }

  /** The node at a path below /dev, which comes and goes with VFIO. */
  at(path: string): DeviceNode | undefined {
    if (path === '/dev/iommu') return this.#parts.cdev ? this.iommu : undefined;
    const [, cdev] = /^\/dev\/vfio\/devices\/vfio(\d+)$/.exec(path) ?? [];
    return cdev === undefined ? undefined : this.#parts.vfio.cdevNodes.get(Number(cdev));
  }

  /**
   * open(2) of a device node for a process.
   *
   * @throws {KernelError} `ENOENT`, `EACCES`.
   */
  open(pid: number, path: string): SimulatedNode {
    const found = this.at(path);
    if (found === undefined) throw new KernelError('ENOENT');
    const process = this.#parts.processes.require(pid);
    if (!mayOpen(process, found)) throw new KernelError('EACCES');
    return this.give(pid, path);
  }

  /** A node that somebody else has opened, as SCM_RIGHTS hands it over. */
  give(pid: number, path: string): SimulatedNode {
    const process = this.#parts.processes.require(pid);
    return new SimulatedNode(path, { process, fd: openFd(process, path) }, () => {
      this.wakeClosers();
    });
  }

  /** QEMU registers for `x-req`; the kernel calls back at the first request and every 10 s. */
  onDeviceRequest(pid: number, listener: DeviceRequestListener): void {
    this.#listeners.set(pid, listener);
  }

  /** Nobody is there any more to be asked. */
  forget(pid: number): void {
    this.#listeners.delete(pid);
  }

  /** Asks whoever has the VFIO device open to give it back, and waits for it, if need be for ever. */
  async waitUntilClosed(fn: PciFunction): Promise<void> {
    const isOpen = () => fn.openedBy !== undefined || this.#cdevIsOpen(fn);
    for (let count = 0; isOpen(); count++) {
      const request = `Relaying device request to user (#${count})`;
      this.#parts.trace.add('kernel', `${fn.bdf}: ${request}`);
      if (count % LOGGED_REQUEST === 0) this.#parts.log.say('vfio-pci', fn.bdf, request);
      if (fn.openedBy !== undefined) this.#listeners.get(fn.openedBy)?.(fn.bdf, count);
      // The request may have been answered on the spot.
      if (!isOpen()) return;
      await new Promise<void>((resolve) => {
        const cancel = this.#parts.clock.after(DEVICE_REQUEST_MS, resolve);
        fn.closeWaiters.push(() => {
          cancel();
          resolve();
        });
      });
    }
  }

  /** Who has the node of the function itself open, bound to iommufd or not: unbinding waits for all of them. */
  #cdevIsOpen({ vfioIndex }: PciFunction): boolean {
    if (vfioIndex === undefined || !this.#parts.cdev) return false;
    const path = `/dev/vfio/devices/vfio${vfioIndex}`;
    return this.#parts.processes.all().some(({ fds }) => [...fds.values()].includes(path));
  }

  /** Something was closed: whoever waits looks again. */
  wakeClosers(): void {
    for (const { closeWaiters } of this.#parts.functions.all) {
      for (const wake of closeWaiters.splice(0)) wake();
    }
  }
}

/** A node of the `misc` devices, major 10, with root as its owner. */
function node(minor: number, inode: bigint): Omit<DeviceNode, 'mode'> {
  return { major: 10, minor, inode, uid: 0, gid: 0 };
}
