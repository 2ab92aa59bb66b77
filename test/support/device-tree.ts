import { isJsonObject, type JsonObject, type JsonValue } from '../../src/json.js';
import type { Peer } from './agreement.js';

/** What a command returned, or the text of its refusal. */
export async function read(
  { client, wait }: Peer,
  command: string,
  args?: JsonObject,
): Promise<JsonValue> {
  const reply = await wait(client.command(command, args));
  if ('error' in reply) return reply.error.desc;
  return reply.return;
}

export const objects = (value: JsonValue): readonly JsonObject[] =>
  Array.isArray(value) ? (value as readonly JsonValue[]).filter((item) => isJsonObject(item)) : [];

/** Paths of everything that was plugged in, cold or hot. */
export async function peripherals(peer: Peer): Promise<readonly string[]> {
  const paths: string[] = [];
  for (const container of ['/machine/peripheral', '/machine/peripheral-anon']) {
    for (const { name, type } of objects(await read(peer, 'qom-list', { path: container }))) {
      if (typeof name === 'string' && typeof type === 'string' && type.startsWith('child<')) {
        paths.push(`${container}/${name}`);
      }
    }
  }
  return paths;
}

/** Peripherals, what hangs on each bus, and query-pci without what may differ. */
export async function readTree(peer: Peer): Promise<JsonValue> {
  const tree: Record<string, JsonValue> = {};
  for (const container of ['/machine/peripheral', '/machine/peripheral-anon']) {
    const entries = objects(await read(peer, 'qom-list', { path: container }));
    for (const { name, type } of entries) {
      if (name === 'type' || typeof name !== 'string' || type === undefined) continue;
      const path = `${container}/${name}`;
      tree[path] = {
        type,
        addr: await read(peer, 'qom-get', { path, property: 'addr' }),
        bus: await read(peer, 'qom-get', { path, property: 'parent_bus' }),
        hotplugged: await read(peer, 'qom-get', { path, property: 'hotplugged' }),
      };
      const bus = `${path}/${name}`;
      const busType = await read(peer, 'qom-get', { path: bus, property: 'type' });
      if (busType !== 'PCIE' && busType !== 'PCI') continue;
      for (const { name: entry } of objects(await read(peer, 'qom-list', { path: bus }))) {
        if (typeof entry !== 'string' || entry === 'realized' || entry === 'type') continue;
        tree[`${bus} ${entry}`] = await read(peer, 'qom-get', { path: bus, property: entry });
      }
    }
  }
  tree['query-pci'] = comparablePci(await read(peer, 'query-pci'));
  return sorted(tree);
}

/** `query-pci` without what two machines may say differently. */
export function comparablePci(answer: JsonValue): JsonValue {
  return objects(answer).map(({ bus, devices = [] }): JsonValue => ({
    bus,
    devices: objects(devices).map(comparable),
  }));
}

function comparable(device: JsonObject): JsonValue {
  const { pci_bridge: bridge, regions = [], irq, ...rest } = device;
  const inner = isJsonObject(bridge) ? bridge : undefined;
  const bus = isJsonObject(inner?.bus) ? inner.bus : {};
  const sizeOf = (range: JsonValue | undefined) =>
    isJsonObject(range) ? Number(range.limit) - Number(range.base) : null;
  return {
    ...rest,
    hasIrq: irq !== undefined,
    regions: device.qdev_id === '' ? [] : objects(regions).map(placed),
    ...(inner
      ? {
          numbers: [bus.number ?? null, bus.secondary ?? null, bus.subordinate ?? null],
          sizes: [sizeOf(bus.memory_range), sizeOf(bus.prefetchable_range)],
          inside: inner.devices === undefined ? null : objects(inner.devices).map(comparable),
        }
      : {}),
  };
}

const placed = (region: JsonObject): JsonValue => ({
  ...region,
  address: region.address === -1 ? 'nowhere' : 'somewhere',
});

/** The same with members and items in an order of their own. */
export function sorted(value: JsonValue): JsonValue {
  if (Array.isArray(value)) {
    const items = (value as readonly JsonValue[]).map(sorted);
    return items.sort((a, b) => (text(a) < text(b) ? -1 : 1));
  }
  if (!isJsonObject(value)) return value;
  const entries = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(
    entries
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, member]) => [key, sorted(member ?? null)]),
  );
}

const text = (value: JsonValue) =>
  JSON.stringify(value, (_key, member: unknown) =>
    typeof member === 'bigint' ? member.toString() : member,
  );
