import { KernelError } from '../host/errno.js';
import type { Faults } from '../faults.js';
import { isBridge, type PciFunction } from '../host/pci-function.js';
import type { Kernel } from '../host/kernel.js';
import { SimulatedNode } from '../host/open-node.js';
import {
  VfioOpenError,
  type HandedFile,
  type VfioBackend,
  type VfioOpenStage,
} from './vfio-backend.js';

/** How long a device stays busy that is given back slowly, in ms. */
const SLOW_RELEASE_MS = 900;

/** vfio-pci of one QEMU process on the simulated kernel. */
export function kernelBackend(
  kernel: Kernel,
  faults: Faults,
  pid: number,
  vm: string,
): VfioBackend {
  const opened = new Map<string, PciFunction>();
  /** What is open for a device on the way through iommufd. */
  const cdevs = new Map<string, readonly HandedFile[]>();
  const find = (path: string) => kernel.findVfio(path.split('/').at(-1) ?? '');
  return {
    exists: (path) => path.startsWith('/sys/') && find(path) !== undefined,
    describe: (path) => {
      const fn = find(path);
      if (fn === undefined) return undefined;
      const { config } = fn;
      return {
        bdf: fn.bdf,
        group: kernel.config.iommu === 'none' ? undefined : config.group,
        vendorId: config.vendorId,
        deviceId: config.deviceId,
        subsystem: [config.subsystemVendorId ?? config.vendorId, config.subsystemDeviceId ?? 0],
        classCode: config.classCode,
        bars: config.bars ?? [],
        bridge: isBridge(fn),
        dead: fn.dead,
      };
    },
    open(bdf, ramBytes, token) {
      const fn = kernel.findVfio(bdf);
      const group = fn?.config.group;
      if (fn === undefined || group === undefined) throw new VfioOpenError('get-device', 'ENODEV');
      const fault = faults.draw('vfio-open', { vm, device: bdf });
      if (fault) {
        throw fault.name === 'open-busy'
          ? new VfioOpenError('get-device', 'EBUSY')
          : new VfioOpenError('get-device', 'ENODEV');
      }
      const { vfio } = kernel;
      attempt('open-group', () => {
        vfio.openGroup(pid, group);
      });
      try {
        if (!vfio.isViable(group)) throw new VfioOpenError('viable', 'EPERM');
        attempt('container', () => {
          vfio.attachContainer(pid, ramBytes);
        });
        attempt('get-device', () => {
          vfio.openDevice(pid, fn, token);
        });
      } catch (error) {
        vfio.closeGroupIfUnused(pid, group);
        throw error;
      }
      opened.set(bdf, fn);
    },
    openThroughIommufd(bdf, ramBytes, { device, isIommuOpen }) {
      const fn = kernel.findVfio(bdf);
      if (fn === undefined) throw new VfioOpenError('open-cdev', 'ENOENT');
      const drawn = faults.draw('vfio-open', { vm, device: bdf });
      if (drawn) throw new VfioOpenError('bind', drawn.name === 'open-busy' ? 'EBUSY' : 'ENODEV');
      const opening = (stage: VfioOpenStage, path: string) => {
        attempt(stage, () => nodes.push(kernel.nodes.open(pid, path)));
      };
      const nodes: HandedFile[] = device === undefined ? [] : [device];
      try {
        if (!isIommuOpen) opening('open-iommu', '/dev/iommu');
        if (device === undefined) opening('open-cdev', `/dev/vfio/devices/vfio${fn.vfioIndex}`);
        attempt('bind', () => {
          kernel.iommufd.bind(pid, fn, ramBytes);
        });
      } catch (error) {
        for (const node of nodes) node.drop();
        throw error;
      }
      opened.set(bdf, fn);
      cdevs.set(bdf, nodes);
    },
    receive(file) {
      if (!(file instanceof SimulatedNode)) throw new Error('a file of another world');
      return kernel.nodes.give(pid, file.path);
    },
    close(bdf) {
      const fn = opened.get(bdf);
      if (fn === undefined) return;
      opened.delete(bdf);
      const nodes = cdevs.get(bdf);
      cdevs.delete(bdf);
      const close = () => {
        if (!kernel.processes.get(pid)) return;
        if (nodes === undefined) {
          kernel.vfio.closeDevice(pid, fn);
          return;
        }
        kernel.iommufd.unbind(pid, fn);
        for (const node of nodes) node.drop();
      };
      const fault = faults.draw('vfio-release', { vm, device: bdf });
      if (fault) kernel.clock.after(SLOW_RELEASE_MS, close);
      else close();
    },
  };
}

/** The kernel's errno, with the place in QEMU's sequence where it came up. */
function attempt(stage: VfioOpenStage, task: () => void): void {
  try {
    task();
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    const mapping = (stage === 'container' || stage === 'bind') && error.errno === 'ENOMEM';
    throw new VfioOpenError(mapping ? 'map' : stage, error.errno);
  }
}
