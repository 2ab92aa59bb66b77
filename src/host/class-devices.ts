import { posix } from 'node:path';
import type { Bdf } from '../pci/pci-address.js';
import type { HostEffects } from './effects.js';
import { ifPresent, listOrNone, mapBounded } from './reading.js';

/** A device of some subsystem and the PCI functions it hangs below. */
export interface ClassDevice {
  readonly name: string;
  /** Canonical path below /sys/devices. */
  readonly path: string;
  /** PCI functions on its path from the root down; the last one owns it. Empty for virtual ones. */
  readonly functions: readonly Bdf[];
}

const PCI_ADDRESS = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/;

/**
 * Every device in a directory of links such as /sys/class/block or /sys/bus/usb/devices, with the PCI
 * functions above it. The link names the whole path, so a partition of a disk behind a
 * virtio, SCSI or USB device is found at whatever depth without walking the tree.
 */
export async function readClassDevices(
  effects: HostEffects,
  directory: string,
): Promise<readonly ClassDevice[]> {
  const names = [...(await listOrNone(effects, directory))].sort();
  const devices = await mapBounded(names, 32, async (name) => {
    const target = await ifPresent(effects.readlink(`${directory}/${name}`));
    if (target === undefined) return undefined;
    const path = posix.resolve(directory, target);
    return { name, path, functions: pciFunctionsOn(path) };
  });
  return devices.filter((device) => device !== undefined);
}

/** PCI functions among the components of a sysfs path, from the root down. */
export function pciFunctionsOn(path: string): readonly Bdf[] {
  // The kernel's directory names are canonical BDFs as they stand.
  return path.split('/').filter((part): part is Bdf => PCI_ADDRESS.test(part));
}

/** Whether a directory name is a PCI address as the kernel writes it. */
export function isBdfName(name: string): name is Bdf {
  return PCI_ADDRESS.test(name);
}
