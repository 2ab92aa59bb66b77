import type { DriverCore } from './driver-core.js';
import { KernelError } from './errno.js';
import type { PciFunction } from './pci-function.js';
import type { Vfio } from './vfio.js';

/**
 * `nvidia/current_vgpu_type`. Made up from the description of other tools: not seen on hardware.
 *
 * @throws {KernelError} `EINVAL` for a type it does not offer, `EBUSY` while it is open or is one.
 */
export function setVgpuType(
  fn: PciFunction,
  data: string,
  { drivers, vfio }: { drivers: DriverCore; vfio: Vfio },
): void {
  const type = data.trim();
  if (fn.openedBy !== undefined || (type !== '0' && fn.vgpuType !== '0')) {
    throw new KernelError('EBUSY');
  }
  if (type !== '0' && fn.config.vgpuTypes?.[type] === undefined) throw new KernelError('EINVAL');
  if (type === fn.vgpuType) return;
  drivers.loadModule('vfio');
  fn.vgpuType = type;
  if (type === '0') vfio.deviceUnbound(fn);
  else vfio.deviceBound(fn);
}
