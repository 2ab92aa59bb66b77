import { unknown } from '../../known.js';
import type { Bdf } from '../../pci/pci-address.js';
import type { DeviceRecord } from './record.js';

/** A function of which nothing but the address is known. */
export function bareRecord(bdf: Bdf, reason: string): DeviceRecord {
  const unread = unknown(reason);
  return {
    bdf,
    path: unread,
    vendorId: unread,
    deviceId: unread,
    subsystemVendorId: unread,
    subsystemDeviceId: unread,
    classCode: unread,
    revision: unread,
    driver: unread,
    driverOverride: unread,
    module: unread,
    numaNode: unread,
    localCpus: unread,
    socket: unread,
    iommuGroup: unread,
    slot: unread,
    label: unread,
    acpiIndex: unread,
    serials: unread,
    bars: unread,
    maxLink: unread,
    currentLink: unread,
    runtimeStatus: unread,
    resetMethods: unread,
    sriov: unread,
    mdevTypes: unread,
    mdevs: unread,
    bootVga: unread,
    vfioCdev: unread,
    modalias: unread,
    children: unread,
    companions: unread,
  };
}
