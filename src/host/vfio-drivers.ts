/**
 * Drivers flagged `driver_managed_dma`: bound to a member, they leave the IOMMU group free for VFIO.
 * Source: Linux 6.12, every `.driver_managed_dma = true`.
 */
const VFIO_DRIVERS = [
  'vfio_pci',
  'mlx5_vfio_pci',
  'hisi_acc_vfio_pci',
  'virtio_vfio_pci',
  'pds_vfio_pci',
  'qat_vfio_pci',
  'nvgrace_gpu_vfio_pci',
  'vfio_platform',
  'vfio_amba',
  'vfio_fsl_mc',
  'vfio_cdx',
];
const HARMLESS_DRIVERS = [...VFIO_DRIVERS, 'pci_stub', 'pcieport'];

/** Driver directories and modules spell one name with `-` or `_`; compare this form. */
export function normaliseDriver(name: string): string {
  return name.replaceAll('-', '_');
}

/** Whether two spellings name one driver. */
export function isSameDriver(a: string, b: string): boolean {
  return normaliseDriver(a) === normaliseDriver(b);
}

/** Whether the driver hands the device to user space through VFIO. */
export function isVfioDriver(name: string): boolean {
  return VFIO_DRIVERS.includes(normaliseDriver(name));
}

/** Whether a member bound to this driver leaves its group usable for VFIO. */
export function isHarmlessDriver(name: string): boolean {
  return HARMLESS_DRIVERS.includes(normaliseDriver(name));
}
