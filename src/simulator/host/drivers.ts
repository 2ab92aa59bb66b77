import { KernelError } from './errno.js';
import { isBridge, type PciFunction } from './pci-function.js';

/** A PCI driver of the simulated kernel; its directory exists while the module is loaded. */
export interface Driver {
  readonly name: string;
  readonly module: string;
  /** `vendor device` ids added through new_id. */
  readonly dynamicIds: Set<string>;
}

/**
 * Drivers that a device may keep while VFIO owns its group.
 * Source: `driver_managed_dma` in Linux 6.12.
 */
const MANAGED_DMA: ReadonlySet<string> = new Set([
  'vfio-pci',
  'mlx5_vfio_pci',
  'hisi_acc_vfio_pci',
  'virtio_vfio_pci',
  'pds_vfio_pci',
  'qat_vfio_pci',
  'nvgrace_gpu_vfio_pci',
  'pci-stub',
  'pcieport',
]);

export function managesDma(driver: string): boolean {
  return MANAGED_DMA.has(driver);
}

export function isVfioDriver(driver: string | undefined): boolean {
  return (
    driver === 'vfio-pci' || driver === 'vfio_mdev' || (driver?.endsWith('_vfio_pci') ?? false)
  );
}

/** Whether VFIO reaches the function: by its driver, or because NVIDIA's made a vGPU of it. */
export function servesVfio({ driver, vgpuType }: PciFunction): boolean {
  return isVfioDriver(driver) || vgpuType !== '0';
}

/** `vfio-pci` lives in module `vfio_pci`; a module's name never has a dash. */
export function moduleOf(driver: string): string {
  return driver.replaceAll('-', '_');
}

/** Ids as new_id takes them, without leading zeros. */
export function idText(vendorId: number, deviceId: number): string {
  return `${vendorId.toString(16)} ${deviceId.toString(16)}`;
}

/**
 * Whether the driver takes the function at all. An override names the only driver that may, and
 * then its id table no longer matters. Source: pci_match_device, Linux 6.12.
 */
export function driverMatches(driver: Driver, fn: PciFunction): boolean {
  // iommu_init_pci (drivers/iommu/amd/init.c, Linux 6.1) keeps every driver from the IOMMU's own function.
  if (fn.config.classCode >>> 8 === 0x0806) return false;
  if (fn.driverOverride !== undefined) return fn.driverOverride === driver.name;
  const { vendorId, deviceId, nativeDriver } = fn.config;
  return nativeDriver === driver.name || driver.dynamicIds.has(idText(vendorId, deviceId));
}

export interface ProbeContext {
  /** Whether VFIO owns the function's group. */
  readonly groupOwned: boolean;
  /** Whether the function has an IOMMU group. */
  readonly hasGroup: boolean;
  /** Whether its PF keeps drivers from it: `sriov_drivers_autoprobe` is 0. */
  readonly keptFromDrivers: boolean;
}

/** @throws {KernelError} what the driver's probe returns. */
export function probe(driver: Driver, fn: PciFunction, context: ProbeContext): void {
  // pci_device_can_probe, Linux 6.12: an override is the way around it.
  if (context.keptFromDrivers && fn.driverOverride === undefined) throw new KernelError('ENODEV');
  const planned = fn.config.probeErrors?.[driver.name];
  if (planned !== undefined) throw new KernelError(planned);
  if (isVfioDriver(driver.name)) {
    if (isBridge(fn) || fn.config.denylisted === true || !context.hasGroup) {
      throw new KernelError('EINVAL');
    }
    if ((fn.sriov?.numVfs ?? 0) > 0) throw new KernelError('EBUSY');
    return;
  }
  if (context.groupOwned && !managesDma(driver.name)) throw new KernelError('EBUSY');
}
