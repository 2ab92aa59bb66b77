import { HostError, HostNotReadyError } from '../errors.js';
import { isJsonObject, parseJson, type JsonObject, type JsonValue } from '../json.js';
import type { Bdf } from '../pci/pci-address.js';
import { readChildren } from './children.js';
import type { HostEffects, VfChange, VfSettings } from './effects.js';
import { hostFailure } from './reading.js';

/** An Ethernet address that one interface can have: neither a group's nor nobody's. */
export function isUnicastMac(text: string): boolean {
  return /^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/i.test(text) && !/^[0:]+$/.test(text);
}

/**
 * The VFs in what `ip -json link show dev` prints of their PF (iproute2 ip/ipaddress.c, print_vfinfo, 6.1).
 *
 * @throws {HostError} `HOST_UNREADABLE` for anything else.
 */
export function parseVfSettings(text: string): readonly VfSettings[] {
  let answer: JsonValue;
  try {
    answer = parseJson(text);
  } catch (cause) {
    throw new HostError('HOST_UNREADABLE', 'What ip(8) prints is no JSON', { cause });
  }
  const [link] = Array.isArray(answer) ? (answer as readonly JsonValue[]) : [];
  const list = isJsonObject(link) ? (link.vfinfo_list ?? []) : [];
  return (Array.isArray(list) ? (list as readonly JsonValue[]) : [])
    .filter(isJsonObject)
    .map(readVf);
}

function readVf(vf: JsonObject): VfSettings {
  const { vf: index, address, vlan_list: vlans, trust, spoofchk } = vf;
  if (typeof index !== 'number' || typeof address !== 'string') {
    throw new HostError('HOST_UNREADABLE', 'ip(8) tells of a VF without number or address');
  }
  const [first] = Array.isArray(vlans) ? (vlans as readonly JsonValue[]) : [];
  const vlan = isJsonObject(first) ? first.vlan : vf.vlan;
  return {
    index,
    mac: address.toLowerCase(),
    vlan: typeof vlan === 'number' ? vlan : 0,
    trust: switchOf(trust),
    spoofCheck: switchOf(spoofchk),
  };
}

/** Older versions print `on` and `off`. */
function switchOf(value: JsonValue | undefined): boolean | null {
  if (typeof value === 'boolean') return value;
  return value === 'on' ? true : value === 'off' ? false : null;
}

/** What comes after `ip link set dev NAME` for a change. */
export function vfArguments(index: number, change: VfChange): readonly string[] {
  const { mac, vlan, trust, spoofCheck } = change;
  const onOff = (on: boolean) => (on ? 'on' : 'off');
  return [
    'vf',
    String(index),
    ...(mac === undefined ? [] : ['mac', mac]),
    ...(vlan === undefined ? [] : ['vlan', String(vlan)]),
    ...(trust === undefined ? [] : ['trust', onOff(trust)]),
    ...(spoofCheck === undefined ? [] : ['spoofchk', onOff(spoofCheck)]),
  ];
}

/**
 * The network interface through which the VFs of a PF are set.
 *
 * @throws {HostNotReadyError} `NO_VFS` where it has none, or several.
 */
export async function interfaceOf(effects: HostEffects, pf: Bdf): Promise<string> {
  const { net = [] } = (await readChildren(effects)).get(pf) ?? {};
  const [name, ...others] = net;
  if (name !== undefined && others.length === 0) return name;
  const found = net.length === 0 ? 'none' : net.join(', ');
  throw new HostNotReadyError(
    'NO_VFS',
    `${pf}: its VFs are set through its one network interface, and it has ${found}`,
    {
      remedy:
        'set up the VFs by the means of its own driver, and leave --mac, --vlan and the like out',
      details: { device: pf, interfaces: net },
    },
  );
}

/** One VF as it is; undefined where the PF has no such one. @throws {HostError} `HOST_UNREADABLE` */
export async function readVfSettings(
  effects: HostEffects,
  netdev: string,
  index: number,
): Promise<VfSettings | undefined> {
  try {
    return (await effects.readVfs(netdev)).find((vf) => vf.index === index);
  } catch (error) {
    throw hostFailure(netdev, error, 'HOST_UNREADABLE');
  }
}

/** What of a change is not so yet. */
export function openChange(now: VfSettings, { mac, ...change }: VfChange): VfChange {
  const wanted = { ...change, mac: mac?.toLowerCase() };
  const keys = ['mac', 'vlan', 'trust', 'spoofCheck'] as const;
  return Object.fromEntries(
    keys.flatMap((key) =>
      wanted[key] === undefined || wanted[key] === now[key] ? [] : [[key, wanted[key]]],
    ),
  );
}

/** The change that brings back what another one changed. A driver that told nothing of it had it off. */
export function changeBack(before: VfSettings, change: VfChange): VfChange {
  return {
    ...(change.mac === undefined ? {} : { mac: before.mac }),
    ...(change.vlan === undefined ? {} : { vlan: before.vlan }),
    ...(change.trust === undefined ? {} : { trust: before.trust ?? false }),
    ...(change.spoofCheck === undefined ? {} : { spoofCheck: before.spoofCheck ?? false }),
  };
}

/**
 * Changes a VF and reads it back: some drivers take a setting and leave it.
 *
 * @throws {HostError} `HOST_IO`, `HOST_UNREADABLE`.
 */
export async function changeVf(
  effects: HostEffects,
  { netdev, index }: { readonly netdev: string; readonly index: number },
  change: VfChange,
): Promise<void> {
  const subject = `VF ${index} of ${netdev}`;
  const now = await readVfSettings(effects, netdev, index);
  if (now === undefined) throw new HostError('HOST_IO', `${subject} is not there`);
  const open = openChange(now, change);
  if (Object.keys(open).length === 0) return;
  try {
    await effects.setVf(netdev, index, open);
  } catch (error) {
    throw hostFailure(subject, error);
  }
  const after = await readVfSettings(effects, netdev, index);
  const left = after === undefined ? open : openChange(after, change);
  const [missed] = Object.keys(left);
  if (missed === undefined) return;
  throw new HostError('HOST_IO', `${subject}: ${missed} was set, and reads as before`, {
    remedy: `its driver does not take it: ip link show dev ${netdev}`,
    details: { interface: netdev, vf: index, setting: missed },
  });
}
