import { posix } from 'node:path';
import type { Bdf } from '../pci/pci-address.js';
import { readClassDevices } from './class-devices.js';
import type { HostEffects } from './effects.js';

/** Where each kind of child is listed, and which entries are worth showing. */
const SUBSYSTEMS = {
  net: { directory: '/sys/class/net', names: /./ },
  block: { directory: '/sys/class/block', names: /./ },
  nvme: { directory: '/sys/class/nvme', names: /./ },
  drm: { directory: '/sys/class/drm', names: /^card\d+$/ },
  sound: { directory: '/sys/class/sound', names: /^card\d+$/ },
  usb: { directory: '/sys/bus/usb/devices', names: /^usb\d+$/ },
  infiniband: { directory: '/sys/class/infiniband', names: /./ },
  tpm: { directory: '/sys/class/tpm', names: /./ },
} as const;

export type Children = Readonly<Record<string, readonly string[]>>;

/** What each PCI function drives on the host, by subsystem; functions that drive nothing are left out. */
export async function readChildren(effects: HostEffects): Promise<ReadonlyMap<Bdf, Children>> {
  const children = new Map<Bdf, Record<string, string[]>>();
  for (const [subsystem, { directory, names }] of Object.entries(SUBSYSTEMS)) {
    const devices = await readClassDevices(effects, directory);
    const paths = new Set(devices.map(({ path }) => path));
    for (const device of devices) {
      const owner = device.functions.at(-1);
      // A partition's directory lies in that of its disk, which is a child already.
      const isPart = paths.has(posix.dirname(device.path));
      if (owner === undefined || isPart || !names.test(device.name)) continue;
      const own = children.get(owner) ?? {};
      children.set(owner, own);
      (own[subsystem] ??= []).push(device.name);
    }
  }
  return children;
}
