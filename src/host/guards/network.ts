import { endianness } from 'node:os';
import type { HostEffects } from '../effects.js';
import { exists, ifPresent, listOrNone, readAttribute, readLinkName } from '../reading.js';
import type { HostDevice, UseFinding } from '../types.js';
import { isHarmlessDriver } from '../vfio-drivers.js';
import { unreadable, type Guard, type GuardContext } from './guard.js';
import {
  defaultInterfaces,
  interfaceTowards,
  parsePeers,
  parseRoutes4,
  parseRoutes6,
  type Peer,
  type Route,
} from './routes.js';

/** Linux include/uapi/linux/if.h. */
const IFF_UP = 0x1;

/**
 * Interfaces of the function: one that carries the default route or connections of the host, itself
 * or through a bridge, bond or VLAN on it, is not taken away, and neither is a port of a bridge or bond,
 * which serves others; one that is merely up is told.
 */
export const networkGuard: Guard = {
  subject: 'net',
  find: async (context, device) => {
    const { effects } = context;
    const interfaces = await context.below('/sys/class/net', device.bdf);
    if (interfaces.length === 0) return hiddenInterface(effects, device);
    const traffic = await context.once('traffic', () => readTraffic(effects));
    const findings: UseFinding[] = [];
    for (const { name } of interfaces) {
      findings.push(...(await judge(context, { device, name, traffic })));
    }
    return findings;
  },
};

interface Traffic {
  readonly defaults: ReadonlySet<string>;
  /** Number of established TCP connections of the host by the interface they leave through. */
  readonly connections: ReadonlyMap<string, number>;
}

async function judge(
  { effects }: GuardContext,
  { device, name, traffic }: { device: HostDevice; name: string; traffic: Traffic },
): Promise<readonly UseFinding[]> {
  const { bdf } = device;
  const block = (evidence: string): UseFinding => ({
    bdf,
    level: 'block',
    reason: 'in-use.net',
    evidence,
    remedy: `move the traffic to another interface, then: ip link set ${name} down`,
  });
  for (const carrier of await withUppers(effects, name)) {
    const through = carrier === name ? name : `${name}, through ${carrier},`;
    if (traffic.defaults.has(carrier)) return [block(`${through} carries the default route`)];
    const count = traffic.connections.get(carrier) ?? 0;
    if (count > 0) return [block(`${through} carries ${count} TCP connections of the host`)];
  }
  const master = await readLinkName(effects, `/sys/class/net/${name}/master`);
  if (master !== undefined) return [block(`${name} is a port of ${master}`)];
  const flags = await readAttribute(effects, `/sys/class/net/${name}/flags`);
  if ((parseInt(flags ?? '0', 16) & IFF_UP) === 0) return [];
  return [
    {
      bdf,
      level: 'warn',
      reason: 'in-use.net-up',
      evidence: `${name} is up`,
      remedy: `ip link set ${name} down`,
    },
  ];
}

/** The interface and everything built on it: bridge, bond, team, VLAN, macvlan, and so on upwards. */
async function withUppers(effects: HostEffects, name: string): Promise<ReadonlySet<string>> {
  const found = new Set<string>([name]);
  for (const each of found) {
    const entries = await listOrNone(effects, `/sys/class/net/${each}`);
    const uppers = entries
      .filter((entry) => entry.startsWith('upper_'))
      .map((entry) => entry.slice('upper_'.length));
    const master = entries.includes('master')
      ? await readLinkName(effects, `/sys/class/net/${each}/master`)
      : undefined;
    // A Set that grows while it is walked is walked to its new end.
    for (const upper of [...uppers, ...(master === undefined ? [] : [master])]) found.add(upper);
  }
  return found;
}

async function readTraffic(effects: HostEffects): Promise<Traffic> {
  const text = async (path: string) => (await ifPresent(effects.read(path))) ?? '';
  const order = endianness();
  const routes: readonly Route[] = [
    ...parseRoutes4(await text('/proc/net/route'), order),
    ...parseRoutes6(await text('/proc/net/ipv6_route')),
  ];
  const peers: readonly Peer[] = [
    ...parsePeers(await text('/proc/net/tcp'), order),
    ...parsePeers(await text('/proc/net/tcp6'), order),
  ];
  const connections = new Map<string, number>();
  for (const peer of peers) {
    const name = interfaceTowards(routes, peer);
    if (name !== undefined) connections.set(name, (connections.get(name) ?? 0) + 1);
  }
  return { defaults: defaultInterfaces(routes), connections };
}

/**
 * An interface that was moved into another network namespace is not shown in ours; what is left of it is
 * an empty `net` directory.
 */
async function hiddenInterface(
  effects: HostEffects,
  { bdf, classCode, driver }: HostDevice,
): Promise<readonly UseFinding[]> {
  const isNetwork = classCode >>> 16 === 0x02;
  if (!isNetwork || driver === undefined || isHarmlessDriver(driver)) return [];
  const path = `/sys/bus/pci/devices/${bdf}`;
  const virtio = (await listOrNone(effects, path)).filter((name) => /^virtio\d+$/.test(name));
  for (const directory of [path, ...virtio.map((name) => `${path}/${name}`)]) {
    if (!(await exists(effects, `${directory}/net`))) continue;
    return [
      unreadable(
        bdf,
        'net',
        'its interface is in another network namespace',
        'stop the container that has it, or move the interface back: ip link set <name> netns 1',
      ),
    ];
  }
  return [];
}
