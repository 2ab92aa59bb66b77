import type { Bdf } from '../pci/pci-address.js';
import { ownerOf } from './bus-tree.js';
import { guestAddressOf } from './guest-address.js';
import type { Port, VmBus, VmDevice, VmSnapshot } from './types.js';

/** A device and what sits on the buses it offers. */
export interface TopologyDevice {
  readonly device: VmDevice;
  /** `02/00`, of a channel device `0.1.0042`; undefined for what has no address in the guest. */
  readonly guestPath: string | undefined;
  readonly guestBdf: Bdf | undefined;
  /** The ports that the device is: one, or one for each slot of a bridge. */
  readonly ports: readonly Port[];
  /** By address, then by path. */
  readonly children: readonly TopologyDevice[];
  /** QOM paths of what occupies the ports and is no device that was added by name or option. */
  readonly strangers: readonly string[];
}

export interface TopologyRoot {
  readonly bus: VmBus;
  readonly devices: readonly TopologyDevice[];
}

/** The devices of a VM as a tree, for people to look at. */
export interface Topology {
  readonly snapshot: VmSnapshot;
  /** Root buses that have such devices, by number. */
  readonly roots: readonly TopologyRoot[];
  /** Devices outside the PCI tree, or whose place in it is not known. */
  readonly elsewhere: readonly TopologyDevice[];
}

/** Puts the devices of a snapshot where they belong. Every device is in the result exactly once. */
export function topologyOf(snapshot: VmSnapshot): Topology {
  const byPath = new Map(snapshot.devices.map((device) => [device.path, device]));
  const childrenOf = new Map<string, VmDevice[]>();
  for (const device of snapshot.devices)
    add(childrenOf, parentOf(snapshot, byPath, device), device);
  const portsOf = new Map<string, Port[]>();
  for (const port of snapshot.ports) add(portsOf, ownerOf(port.busPath), port);
  const placed = new Set<VmDevice>();

  const nodeOf = (device: VmDevice): TopologyDevice => {
    placed.add(device);
    const { text, bdf } = guestAddressOf(snapshot, device);
    const ports = portsOf.get(device.path) ?? [];
    const strangers = ports.flatMap(({ occupants }) => occupants.filter((at) => !byPath.has(at)));
    return {
      device,
      guestPath: text,
      guestBdf: bdf,
      ports,
      children: nodesOf(childrenOf.get(device.path) ?? []),
      strangers: [...new Set(strangers)],
    };
  };
  const nodesOf = (devices: readonly VmDevice[]) =>
    devices
      .filter((device) => !placed.has(device))
      .sort(compareDevices)
      .map(nodeOf);

  const roots = [...snapshot.buses.values()]
    .filter(({ isRoot }) => isRoot)
    .sort((a, b) => numberOf(a) - numberOf(b))
    .map((bus) => ({ bus, devices: nodesOf(childrenOf.get(bus.path) ?? []) }));
  const strays = snapshot.devices.filter((device) => !placed.has(device));
  const heads = strays.filter(
    (device) => !strays.some((other) => other.path === parentOf(snapshot, byPath, device)),
  );
  const elsewhere = [...nodesOf(heads)];
  // What is behind itself has no head.
  for (const device of strays) if (!placed.has(device)) elsewhere.push(nodeOf(device));
  return { snapshot, roots, elsewhere };
}

/**
 * The root bus or the device that a device hangs on. The bus of a disk belongs to a part of its
 * controller (`.../virtio-backend`), so the nearest device on the way up counts.
 */
function parentOf(
  snapshot: VmSnapshot,
  byPath: ReadonlyMap<string, VmDevice>,
  { parentBus }: VmDevice,
): string | undefined {
  if (parentBus === undefined) return undefined;
  if (snapshot.buses.get(parentBus)?.isRoot) return parentBus;
  let at = ownerOf(parentBus);
  while (at !== undefined && !byPath.has(at)) at = ownerOf(at);
  return at;
}

function add<T>(groups: Map<string, T[]>, key: string | undefined, value: T): void {
  if (key === undefined) return;
  const group = groups.get(key);
  if (group === undefined) groups.set(key, [value]);
  else group.push(value);
}

function compareDevices(a: VmDevice, b: VmDevice): number {
  return (a.devfn ?? Infinity) - (b.devfn ?? Infinity) || (a.path < b.path ? -1 : 1);
}

function numberOf({ number }: VmBus): number {
  return number.known ? number.value : 0x100;
}
