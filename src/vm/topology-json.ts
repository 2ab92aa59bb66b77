import type { JsonObject, JsonValue } from '../json.js';
import { orElse, type Known } from '../known.js';
import type { Window } from '../pci/bar.js';
import { portPathOf } from './guest-address.js';
import type { Topology, TopologyDevice } from './topology.js';
import type { Port } from './types.js';

/**
 * The tree as `--format json` prints it. `null` is what is not there or not known; addresses are
 * `"0x..."`, sizes integers (text above 2^53), a closed window is `"closed"`.
 */
export function topologyToJson({ snapshot, roots, elsewhere }: Topology): JsonObject {
  const { machineType, arch, qemu, status, ramBytes } = snapshot;
  return {
    vm: {
      key: snapshot.key,
      machine: machineType,
      arch,
      qemu: `${qemu.major}.${qemu.minor}.${qemu.micro}`,
      status,
      ramBytes: size(orElse(ramBytes, undefined)),
    },
    roots: roots.map(({ bus, devices }) => ({
      bus: bus.path,
      number: orElse(bus.number, null),
      devices: devices.map(deviceToJson),
    })),
    elsewhere: elsewhere.map(deviceToJson),
  };
}

function deviceToJson(node: TopologyDevice): JsonObject {
  const { device, guestPath, guestBdf, ports, children, strangers } = node;
  return {
    id: device.id ?? null,
    path: device.path,
    type: device.type,
    guestPath: guestPath ?? null,
    guestBdf: guestBdf ?? null,
    host: device.host ?? null,
    sysfsdev: device.sysfsdev ?? null,
    ports: ports.map(portToJson),
    children: children.map(deviceToJson),
    strangers,
  };
}

/** A port as `status` and `topology` print it. */
export function portToJson(port: Port): JsonObject {
  return {
    id: port.id,
    kind: port.kind,
    type: port.type,
    bus: port.busPath,
    slot: port.slot,
    mechanism: orElse(port.mechanism, null),
    chassis: port.chassis ?? null,
    slotNumber: port.slotNumber ?? null,
    numaNode: port.numaNode ?? null,
    guestPath: portPathOf(port) ?? null,
    rootBus: orElse(port.rootBus, null),
    secondaryBus: orElse(port.secondaryBus, null),
    memoryWindow: windowToJson(port.memoryWindow),
    prefetchableWindow: windowToJson(port.prefetchableWindow),
    memoryReserve: size(port.memoryReserve),
    prefetchableReserve: size(port.prefetchableReserve),
    occupants: port.occupants,
  };
}

function windowToJson(window: Known<Window | undefined>): JsonValue {
  if (!window.known) return null;
  if (window.value === undefined) return 'closed';
  const { base, limit } = window.value;
  return {
    base: `0x${base.toString(16)}`,
    limit: `0x${limit.toString(16)}`,
    sizeBytes: size(limit - base + 1n),
  };
}

function size(bytes: bigint | undefined): number | string | null {
  if (bytes === undefined) return null;
  return bytes <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(bytes) : String(bytes);
}
