import { createHash } from 'node:crypto';
import { stringifyJson, type JsonObject, type JsonValue } from '../json.js';
import type { Known } from '../known.js';
import type { VmSnapshot } from './types.js';

/**
 * A hash of what planning depends on: ports with their occupants and windows, devices, objects and RAM.
 * Equal for equal worlds whatever the order in which QEMU listed them; a paused VM and
 * a running one do not differ, nor do two reasons for not knowing. 64 hex digits.
 */
export function snapshotHash(snapshot: VmSnapshot): string {
  const { key, machineType, arch, ports, devices, buses, objects, ramBytes, channels } = snapshot;
  const world: JsonObject = {
    key,
    machineType,
    arch,
    ports: sorted(ports.map((port) => plain({ ...port }))),
    devices: sorted(devices.map((device) => plain({ ...device }))),
    buses: sorted([...buses.values()].map((bus) => plain({ ...bus }))),
    objects: sorted([...objects].map(([id, type]) => [id, type])),
    ramBytes: plain(ramBytes),
    ...(channels === undefined ? {} : { channels: plain(channels) }),
  };
  return createHash('sha256').update(stringifyJson(world)).digest('hex');
}

/** Facts without their reasons, members in the order of their names. */
function plain(value: unknown): JsonValue {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === 'object' && value !== null) {
    if (isUnknown(value)) return { known: false };
    const members = Object.entries(value).filter(([, member]) => member !== undefined);
    members.sort(([a], [b]) => (a < b ? -1 : 1));
    return Object.fromEntries(members.map(([name, member]) => [name, plain(member)]));
  }
  // Snapshots are made of JSON values and bigints.
  return (value ?? null) as JsonValue;
}

function isUnknown(value: object): value is Known<unknown> {
  return 'known' in value && value.known === false;
}

function sorted(values: readonly JsonValue[]): readonly JsonValue[] {
  return values
    .map((value) => ({ value, text: stringifyJson(value) }))
    .sort((a, b) => (a.text < b.text ? -1 : 1))
    .map(({ value }) => value);
}
