import { isJsonObject, type JsonObject, type JsonValue } from '../../src/json.js';
import { objects } from './device-tree.js';
import type { Guest } from './qemu.js';

/**
 * Where the guest's operating system has devices behind bridges: `<port> <slot>.<function>`, sorted, bridges
 * left out. QEMU says which port has which bus number.
 */
export async function placesInGuest(guest: Guest): Promise<JsonValue> {
  const roots = objects((await guest.qmp.execute('query-pci')) as JsonValue);
  const portOf = new Map(roots.flatMap(({ devices = [] }) => bridgesIn(devices)));
  return guest
    .pciDevices()
    .filter(({ classCode }) => classCode >> 16 !== BRIDGE_CLASS)
    .flatMap(({ bdf }) => {
      const [, bus = '', slot = '', fn = ''] = /^[\da-f]+:(..):(..)\.(.)$/.exec(bdf) ?? [];
      const number = parseInt(bus, 16);
      if (number === 0) return [];
      return [`${portOf.get(number) ?? `bus ${bus}`} ${parseInt(slot, 16)}.${fn}`];
    })
    .sort();
}

/** Base class of PCI bridges, PCI Code and ID Assignment Specification 1.11. */
const BRIDGE_CLASS = 6;

function bridgesIn(devices: JsonValue): [number, string][] {
  return objects(devices).flatMap(({ qdev_id: id, pci_bridge: bridge }) => {
    if (!isJsonObject(bridge) || typeof id !== 'string') return [];
    const { secondary = null } = bridge.bus as JsonObject;
    return [[Number(secondary), id] as [number, string], ...bridgesIn(bridge.devices ?? [])];
  });
}
