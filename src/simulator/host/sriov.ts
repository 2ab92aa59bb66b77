import type { VfSettings } from '../../host/effects.js';
import { formatBdf, parseBdf, type Bdf } from '../../pci/pci-address.js';
import type { FunctionConfig } from './config.js';
import { KernelError } from './errno.js';
import type { PciFunction } from './pci-function.js';
import { sysfsNumber } from './sysfs-text.js';

/** What a PF's driver is asked to do: nothing, or to have so many VFs. */
export type VfChange = 'none' | { readonly count: number };

/**
 * Reads what is written to `sriov_numvfs`. Source: sriov_numvfs_store, drivers/pci/iov.c.
 *
 * @throws {KernelError} `EINVAL`, `ERANGE`, `ENOENT` without a driver that can, `EBUSY` from one
 * number to another.
 */
export function readNumVfs(pf: PciFunction, data: string): VfChange {
  const { sriov } = pf;
  if (sriov === undefined) throw new KernelError('EINVAL');
  const wanted = Number(sysfsNumber(data, 0xffffn));
  if (wanted > sriov.config.totalVfs) throw new KernelError('ERANGE');
  if (wanted === sriov.numVfs) return 'none';
  if (pf.driver === undefined || pf.driver !== pf.config.nativeDriver) {
    throw new KernelError('ENOENT');
  }
  if (wanted !== 0 && sriov.numVfs !== 0) throw new KernelError('EBUSY');
  return { count: Math.min(wanted, sriov.config.enablesAtMost ?? wanted) };
}

/** VFs as a driver makes them: they choose their address, and are not trusted. */
export function newVfSettings(count: number): VfSettings[] {
  return Array.from({ length: count }, (_, index) => ({
    index,
    mac: '00:00:00:00:00:00',
    vlan: 0,
    trust: false,
    spoofCheck: true,
  }));
}

/** The `index`th VF of a PF, in a group of its own. */
export function virtualFunction(
  { bdf, config, sriov }: PciFunction,
  index: number,
  freeGroup: number,
): FunctionConfig {
  const { vfDriver, vfDeviceId = 0, offset = 128, stride = 2, vgpuTypes } = sriov?.config ?? {};
  return {
    bdf: addRoutingId(bdf, offset + stride * index),
    vendorId: config.vendorId,
    deviceId: vfDeviceId,
    classCode: config.classCode,
    resetMethods: ['flr'],
    ...(config.group === undefined ? {} : { group: freeGroup }),
    ...(config.numaNode === undefined ? {} : { numaNode: config.numaNode }),
    ...(config.parent === undefined ? {} : { parent: config.parent }),
    ...(vfDriver === undefined ? {} : { nativeDriver: vfDriver }),
    ...(vgpuTypes === undefined ? {} : { vgpuTypes }),
  };
}

function addRoutingId(bdf: Bdf, distance: number): Bdf {
  const { domain, bus, device, function: fn } = parseBdf(bdf);
  const routingId = (bus << 8) + (device << 3) + fn + distance;
  return formatBdf({
    domain,
    bus: routingId >>> 8,
    device: (routingId >>> 3) & 0x1f,
    function: routingId & 7,
  });
}
