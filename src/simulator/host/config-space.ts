import { isBridge, type PciFunction } from './pci-function.js';

/** Bytes of PCIe extended configuration space, as root reads them. */
const CONFIG_BYTES = 4096;

/** The header of the function's configuration space; a dead device reads as all ones. */
export function configSpace(fn: PciFunction): Uint8Array {
  const bytes = new Uint8Array(CONFIG_BYTES);
  if (fn.dead) return bytes.fill(0xff);
  const view = new DataView(bytes.buffer);
  const { config } = fn;
  view.setUint16(0x00, config.vendorId, true);
  view.setUint16(0x02, config.deviceId, true);
  view.setUint8(0x08, config.revision ?? 0);
  view.setUint8(0x09, config.classCode & 0xff);
  view.setUint8(0x0a, (config.classCode >>> 8) & 0xff);
  view.setUint8(0x0b, config.classCode >>> 16);
  view.setUint8(0x0e, isBridge(fn) ? 1 : 0);
  view.setUint16(0x2c, config.subsystemVendorId ?? config.vendorId, true);
  view.setUint16(0x2e, config.subsystemDeviceId ?? 0, true);
  return bytes;
}
