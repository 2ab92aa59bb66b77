import { guestDevno } from '../ccw/index.js';
import { orElse } from '../known.js';
import { formatRootedPath, type GuestPath, type RootedPath } from '../pci/guest-path.js';
import { formatBdf, type Bdf } from '../pci/pci-address.js';
import { ownerOf } from './bus-tree.js';
import type { Port, VmDevice, VmSnapshot } from './types.js';

/** Where the guest sees a device. */
export interface GuestAddress {
  /** Slots from the root bus down; undefined for what is not on PCI or whose place is not known. */
  readonly path: GuestPath | undefined;
  /** The same with its root, as text: `02/00`, `pci0000:80/00/00`; of a channel device `0.1.0042`. */
  readonly text: string | undefined;
  /** Undefined until the buses above are numbered. */
  readonly bdf: Bdf | undefined;
}

const NOWHERE: GuestAddress = { path: undefined, text: undefined, bdf: undefined };

/** Where the guest sees a device of a snapshot. */
export function guestAddressOf(snapshot: VmSnapshot, device: VmDevice): GuestAddress {
  const { devfn, parentBus, devno } = device;
  if (devno !== undefined) return { ...NOWHERE, text: guestDevno(devno) };
  if (devfn === undefined || parentBus === undefined) return NOWHERE;
  if (snapshot.channels !== undefined) return zpciAddress(snapshot.channels.zpci, device);
  const hop = { device: devfn >> 3, function: devfn & 7 };
  const port = snapshot.ports.find(({ busPath }) => busPath === parentBus);
  const bus = port?.secondaryBus ?? snapshot.buses.get(parentBus)?.number;
  const number = bus && orElse(bus, undefined);
  const from = port?.rootBus.known
    ? rooted(port.rootBus.value, [...port.path, hop])
    : pathOf(snapshot, device);
  return {
    path: from?.path,
    text: from && formatRootedPath(from),
    bdf: number === undefined ? undefined : formatBdf({ domain: 0, bus: number, ...hop }),
  };
}

/**
 * Guests of an s390x see neither bus nor slot: every function is device 0 of a domain of its own, the uid
 * of its zpci.
 */
function zpciAddress(
  zpci: readonly { readonly uid: number; readonly target: string }[],
  { id }: VmDevice,
): GuestAddress {
  const partner = zpci.find(({ target }) => target === id);
  if (partner === undefined) return NOWHERE;
  const domain = partner.uid;
  const hop = { device: 0, function: 0 };
  return {
    path: [hop],
    text: formatRootedPath({ root: { domain, bus: 0 }, path: [hop] }),
    bdf: formatBdf({ domain, bus: 0, ...hop }),
  };
}

/** The guest path of a port: where a device in it will be, or for a port with a bus to itself where the port is. */
export function portPathOf(port: Port): string | undefined {
  const hop = { device: port.slot, function: 0 };
  const isSlot = port.kind.endsWith('-slot');
  const path = isSlot ? [...port.path, hop] : port.path;
  if (path.length === 0) return undefined;
  return formatRootedPath({ root: { domain: 0, bus: orElse(port.rootBus, 0) }, path });
}

/** The way up from a device; undefined where a part of it cannot be told. */
function pathOf(snapshot: VmSnapshot, device: VmDevice): RootedPath | undefined {
  const path: { device: number; function: number }[] = [];
  const visited = new Set<VmDevice>();
  for (let at: VmDevice | undefined = device; at !== undefined && !visited.has(at);) {
    visited.add(at);
    const { devfn, parentBus }: VmDevice = at;
    if (devfn === undefined || parentBus === undefined) return undefined;
    path.unshift({ device: devfn >> 3, function: devfn & 7 });
    const bus = snapshot.buses.get(parentBus);
    if (bus?.isRoot) return bus.number.known ? rooted(bus.number.value, path) : undefined;
    const owner = ownerOf(parentBus);
    at = snapshot.devices.find((candidate) => candidate.path === owner);
  }
  return undefined;
}

function rooted(bus: number, path: GuestPath): RootedPath {
  return { root: { domain: 0, bus }, path };
}
