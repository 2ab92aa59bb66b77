import type { GuestPath } from '../pci/guest-path.js';
import { formatBdf, type Bdf } from '../pci/pci-address.js';
import { ownerOf } from './bus-tree.js';
import type { VmDevice, VmSnapshot } from './types.js';

/** Where the guest sees a device. */
export interface GuestAddress {
  /** Slots from the root bus down; undefined for what is not on PCI or whose place is not known. */
  readonly path: GuestPath | undefined;
  /** Undefined until the buses above are numbered. */
  readonly bdf: Bdf | undefined;
}

/** PCI domain of every bus: QEMU's PCI machines have one. */
const DOMAIN = 0;

/** Where the guest sees a device of a snapshot. */
export function guestAddressOf(snapshot: VmSnapshot, device: VmDevice): GuestAddress {
  const { devfn, parentBus } = device;
  const bus = parentBus === undefined ? undefined : snapshot.buses.get(parentBus);
  if (devfn === undefined || bus === undefined) return { path: undefined, bdf: undefined };
  const bdf = bus.number.known
    ? formatBdf({
        domain: DOMAIN,
        bus: bus.number.value,
        device: devfn >> 3,
        function: devfn & 7,
      })
    : undefined;
  return { path: pathOf(snapshot, device), bdf };
}

function pathOf(snapshot: VmSnapshot, device: VmDevice): GuestPath | undefined {
  const path: { device: number; function: number }[] = [];
  const visited = new Set<VmDevice>();
  for (let at: VmDevice | undefined = device; at !== undefined && !visited.has(at);) {
    visited.add(at);
    const { devfn, parentBus }: VmDevice = at;
    if (devfn === undefined || parentBus === undefined) return undefined;
    path.unshift({ device: devfn >> 3, function: devfn & 7 });
    if (snapshot.buses.get(parentBus)?.isRoot) return path;
    const owner = ownerOf(parentBus);
    at = snapshot.devices.find((candidate) => candidate.path === owner);
  }
  return undefined;
}
