import { expect, it, describe } from 'vitest';
import { isJsonObject, type JsonObject, type JsonValue } from '../../src/json.js';
import { connectUnix } from '../../src/qmp/unix-transport.js';
import {
  argumentsOf,
  Random,
  rootPorts,
  simulateQemu,
  type ColdDevice,
  type QemuConfig,
  type ReleaseName,
} from '../../src/simulator/index.js';
import { RawClient, type Reply } from '../simulator/raw-client.js';
import { startQemu } from '../support/qemu.js';

/*
 * The same commands go to a real QEMU and to the simulated one; replies, events and the device tree
 * must be the same. What may differ is in this list and nowhere else:
 *
 * - the order of object members, of qom-list and of query-pci entries: none is promised;
 * - timestamps;
 * - qom-list of a device: the real one also shows memory regions and aliases (`legacy-*`), so
 *   the simulator's list must be a part of it;
 * - query-pci: regions of the functions that q35 itself brings, and the windows' addresses once
 *   firmware has run; their sizes must agree;
 * - buses of other kinds than PCI (nvme has one inside);
 * - RESET by the guest itself: SeaBIOS sends one or two;
 * - where RESET stands among the DEVICE_DELETED: it depends on the RCU grace period;
 * - `description` in device-list-properties.
 */

/** Of the random sequences; each takes about a second per mechanism. */
const SEEDS = [1, 2, 3, 4, 5];

type Step = readonly [command: string, args?: JsonObject];

/** QEMU answers this only after all pending deletions have been announced. */
const BARRIER: Step = ['device_add', {}];

interface Peer {
  readonly client: RawClient;
  /** Waits, letting time pass where time is simulated. */
  readonly wait: <T>(promise: Promise<T>) => Promise<T>;
}

interface Seen {
  readonly replies: readonly (readonly [Step, Reply])[];
  readonly events: readonly JsonValue[];
  readonly tree: JsonValue;
}

async function runSteps({ client, wait }: Peer, steps: readonly Step[]): Promise<Seen> {
  const replies: (readonly [Step, Reply])[] = [];
  for (const step of steps) {
    const resets = client.events.filter(({ event }) => event === 'RESET').length;
    replies.push([step, await wait(client.command(...step))]);
    if (step[0] === 'system_reset') {
      await wait(
        client.until(() => client.events.filter(({ event }) => event === 'RESET').length > resets),
      );
    }
  }
  await wait(client.command(...BARRIER));
  const events = client.events
    .filter(({ event, data }) => !(event === 'RESET' && data.guest === true))
    .map(({ event, data }): JsonObject => ({ event, data }))
    .sort((a, b) => Number(a.event === 'RESET') - Number(b.event === 'RESET'));
  return { replies, events, tree: await readTree({ client, wait }) };
}

async function read(
  { client, wait }: Peer,
  command: string,
  args?: JsonObject,
): Promise<JsonValue> {
  const reply = await wait(client.command(command, args));
  if ('error' in reply) return reply.error.desc;
  return reply.return;
}

const objects = (value: JsonValue): readonly JsonObject[] =>
  Array.isArray(value) ? (value as readonly JsonValue[]).filter((item) => isJsonObject(item)) : [];

/** Peripherals, what hangs on each bus, and query-pci without what may differ. */
async function readTree(peer: Peer): Promise<JsonValue> {
  const tree: Record<string, JsonValue> = {};
  for (const container of ['/machine/peripheral', '/machine/peripheral-anon']) {
    for (const { name, type } of objects(await read(peer, 'qom-list', { path: container }))) {
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
      const entries = objects(await read(peer, 'qom-list', { path: bus }));
      for (const { name: entry } of entries) {
        if (typeof entry !== 'string' || entry === 'realized' || entry === 'type') continue;
        tree[`${bus} ${entry}`] = await read(peer, 'qom-get', { path: bus, property: entry });
      }
    }
  }
  tree['query-pci'] = objects(await read(peer, 'query-pci')).map(
    ({ bus, devices = [] }): JsonValue => ({ bus, devices: objects(devices).map(comparable) }),
  );
  return sorted(tree);
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

function sorted(value: JsonValue): JsonValue {
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

async function onReal<T>(config: QemuConfig, use: (peer: Peer) => Promise<T>): Promise<T> {
  // The helper starts the machine; devices and ports come from the configuration.
  const args = argumentsOf({ ...config, monitors: [] });
  const devices = args.flatMap((arg, at) => (arg === '-device' ? [arg, args[at + 1] ?? ''] : []));
  await using qemu = await startQemu({
    args: devices,
    memoryMiB: 256,
    paused: config.startPaused ?? false,
    ...(config.hotplug === undefined ? {} : { hotplug: config.hotplug }),
  });
  const client = new RawClient(await connectUnix(qemu.qmpPath));
  await client.negotiate(['oob']);
  return await use({ client, wait: (promise) => promise });
}

async function onSimulated<T>(config: QemuConfig, use: (peer: Peer) => Promise<T>): Promise<T> {
  const simulated = simulateQemu(config);
  const client = new RawClient(simulated.connect());
  await simulated.clock.runUntil(client.negotiate(['oob']));
  return use({ client, wait: (promise) => simulated.clock.runUntil(promise) });
}

/** The simulator's release that is nearest to the QEMU installed here. */
async function installedRelease(): Promise<ReleaseName> {
  return onReal({ startPaused: true }, async (peer) => {
    const version = await read(peer, 'query-version');
    const qemu = isJsonObject(version) && isJsonObject(version.qemu) ? version.qemu : {};
    return Number(qemu.major) * 10 + Number(qemu.minor) >= 92 ? '10.0.13' : '7.2.22';
  });
}

const release = await installedRelease();

async function compare(config: QemuConfig, steps: readonly Step[]): Promise<void> {
  const full: QemuConfig = { release, guest: { kind: 'none' }, ...config };
  const real = await onReal(full, (peer) => runSteps(peer, steps));
  const simulated = await onSimulated(full, (peer) => runSteps(peer, steps));
  expect(simulated.replies).toEqual(real.replies);
  expect(simulated.events).toEqual(real.events);
  expect(simulated.tree).toEqual(real.tree);
}

const add = (id: string, bus: string, more: JsonObject = {}, driver = 'pci-testdev'): Step => [
  'device_add',
  { driver, id, bus, addr: '0x0', ...more },
];
const del = (id: string): Step => ['device_del', { id }];
const get = (path: string, property: string): Step => ['qom-get', { path, property }];

const PORTS = rootPorts(3);
const VIRTIO = 'virtio-rng-pci';

/** A switch, a conventional bridge, an expander and a port that takes nothing. */
const MOTLEY: readonly ColdDevice[] = [
  ...rootPorts(2),
  { driver: 'pcie-root-port', id: 'rps', bus: 'pcie.0', addr: '0x8', chassis: 10, slot: 10 },
  { driver: 'x3130-upstream', id: 'up0', bus: 'rps', addr: '0x0' },
  { driver: 'xio3130-downstream', id: 'dn0', bus: 'up0', addr: '0x0', chassis: 11, slot: 1 },
  { driver: 'xio3130-downstream', id: 'dn1', bus: 'up0', addr: '0x1', chassis: 12, slot: 2 },
  { driver: 'pci-bridge', id: 'br0', bus: 'pcie.0', addr: '0x9', chassis_nr: 5 },
  { driver: 'pxb-pcie', id: 'pxb0', bus: 'pcie.0', addr: '0xa', bus_nr: 128 },
  { driver: 'pcie-root-port', id: 'rpx', bus: 'pxb0', addr: '0x0', chassis: 20, slot: 20 },
  {
    driver: 'pcie-root-port',
    id: 'rpo',
    bus: 'pcie.0',
    addr: '0xb',
    chassis: 21,
    slot: 21,
    hotplug: false,
  },
];

describe.each(['acpi', 'native'] as const)('with %s hot-plug and nothing running', (hotplug) => {
  const config: QemuConfig = { devices: PORTS, hotplug, startPaused: true };

  it('adds devices, and refuses what cannot be added', async () => {
    await compare(config, [
      ['device_add', { driver: 'nope' }],
      add('a', 'nowhere'),
      add('a', '/machine/peripheral/rp0/rp0'),
      add('a', 'pcie.0'),
      add('a b', 'rp0'),
      add('a', 'rp0', { nope: 1 }),
      add('a', 'rp0', { addr: 'zz' }),
      add('a', 'rp0', { addr: '0x20' }),
      add('a', 'rp0', { addr: '0x0.8' }),
      add('a', 'rp0', { membar: 1 << 20 }),
      add('a', 'rp1'),
      add('rp0', 'rp1'),
      add('b', 'rp0'),
      add('b', 'rp0', { addr: '0x0.1' }),
      add('v', 'rp1', {}, VIRTIO),
      add('n', 'rp2', {}, 'nvme'),
      add('n', 'rp2', { serial: 'x' }, 'nvme'),
      add('w', 'rp1', {}, 'vfio-pci-nohotplug'),
      add('w', 'rp1', {}, 'virtio-rng-device'),
      ['device_add', { driver: 'pci-testdev' }],
      ['device_add', { driver: 'virtio-rng-device' }],
    ]);
  });

  it('reads types and values of device_add as the release does', async () => {
    await compare(config, [
      add('m', 'rp0', { multifunction: 5 }),
      add('m', 'rp0', { multifunction: 'on' }),
      add('s', 'rp1', { membar: '1M' }),
      add('s2', 'rp1', { membar: 'zz' }),
      add('i', 'rp2', { 'acpi-index': 'zz' }),
      add('i', 'rp2', { addr: true }),
      add('r', 'rp2', { rombar: 0, romfile: '' }),
    ]);
  });

  it('puts a device without addr on an occupied port where the release puts it', async () => {
    await compare(config, [
      add('a', 'rp0'),
      ['device_add', { driver: 'pci-testdev', id: 'stray', bus: 'rp0' }],
      ['device_add', { driver: VIRTIO, bus: 'rp1' }],
      add('b', 'rp2', { addr: '0x0.1' }),
      ['device_add', { driver: 'pci-testdev', id: 'c', bus: 'rp2' }],
    ]);
  });

  it('removes, and refuses what cannot be removed', async () => {
    await compare(config, [
      del('nobody'),
      del(''),
      del('/machine/peripheral'),
      del('/machine/peripheral/rp0/rp0'),
      del('/machine/q35'),
      del('rp0'),
      ['device_del', {}],
      ['device_del', { id: 5 }],
      ['device_del', { id: 'a', more: 1 }],
      add('a', 'rp0', {}, VIRTIO),
      ['device_add', { driver: 'edu', bus: 'rp1' }],
      del('a'),
      del('a'),
      del('/machine/peripheral-anon/device[0]'),
      BARRIER,
      ['system_reset'],
      BARRIER,
      del('a'),
    ]);
  });

  it('takes a whole slot with one function', async () => {
    await compare(config, [
      add('f1', 'rp0', { addr: '0x0.1' }, VIRTIO),
      add('f2', 'rp0', { addr: '0x0.2' }),
      add('f0', 'rp0'),
      add('f0', 'rp0', { multifunction: true }, 'edu'),
      add('f3', 'rp0', { addr: '0x0.3' }),
      del('f1'),
      BARRIER,
      ['system_reset'],
    ]);
  });

  it('lets a function go alone while function 0 is absent', async () => {
    await compare(config, [
      add('f1', 'rp0', { addr: '0x0.1' }),
      add('f2', 'rp0', { addr: '0x0.2' }),
      del('f1'),
      BARRIER,
      ['system_reset'],
    ]);
  });

  it('keeps a stray device of slot 1 or not, by mechanism', async () => {
    await compare(config, [
      add('a', 'rp0'),
      ['device_add', { driver: 'pci-testdev', id: 'stray', bus: 'rp0' }],
      del('a'),
      BARRIER,
      ['system_reset'],
      BARRIER,
    ]);
  });

  it('stops, continues and tells its status', async () => {
    await compare(config, [
      ['query-status'],
      ['stop'],
      ['query-status'],
      ['cont'],
      ['cont'],
      ['query-status'],
      ['stop'],
      ['stop'],
      ['query-status'],
      ['query-name'],
      ['query-uuid'],
      ['query-target'],
      ['query-memory-size-summary'],
      ['query-balloon'],
      ['query-version'],
      ['query-version', { x: 1 }],
      ['no-such-command'],
      ['qmp_capabilities'],
    ]);
  });

  it('shows every kind of port, with the same numbers and handlers', async () => {
    await compare({ ...config, devices: MOTLEY }, [
      add('t', 'pxb0'),
      add('t', 'rpo'),
      add('below', 'dn1', {}, 'edu'),
      add('conv', 'br0', { addr: '0x1' }),
      add('far', 'rpx', {}, VIRTIO),
      del('far'),
      get('/machine/peripheral/up0/up0', 'hotplug-handler'),
      get('/machine/peripheral/rps', 'parent_bus'),
      get('/machine/peripheral/rpo', 'pref64-reserve'),
      get('/machine/peripheral/rp1', 'chassis'),
      BARRIER,
    ]);
  });

  it('knows the same paths and properties', async () => {
    await compare(config, [
      add('a', 'rp0', {}, 'edu'),
      get('/machine/peripheral/a', 'type'),
      get('/machine/peripheral/a', 'multifunction'),
      get('/machine/peripheral/a', 'romfile'),
      get('/machine/peripheral/a', 'hotpluggable'),
      get('/machine/peripheral/a', 'nope'),
      get('/machine/peripheral/rp0', 'hotpluggable'),
      get('/machine/peripheral/rp0', 'mem-reserve'),
      get('/machine/peripheral/rp0', 'rp0'),
      get('/machine/peripheral', 'a'),
      get('/machine/peripheral', 'zz'),
      get('/machine', 'type'),
      get('/machine', 'acpi'),
      get('/machine', 'q35'),
      get('/machine/q35', 'addr'),
      get('/machine/q35/pcie.0', 'type'),
      get('/machine/q35/pcie.0', 'acpi-pcihp-bsel'),
      get('/machine/q35/pcie.0', 'hotplug-handler'),
      get('/', 'machine'),
      get('rp0', 'addr'),
      get('a', 'type'),
      get('q35', 'type'),
      get('', 'type'),
      get('/machine/nope', 'type'),
      ['qom-get', { path: '/machine' }],
      ['qom-get', { path: 5, property: 'x' }],
      ['qom-list', {}],
      ['qom-list', { path: '/machine/nope' }],
    ]);
  });

  it('keeps objects', async () => {
    await compare(config, [
      ['object-add', { 'qom-type': 'rng-random', id: 'r0' }],
      ['object-add', { 'qom-type': 'rng-random', id: 'r0' }],
      ['object-add', { 'qom-type': 'rng-random', id: '1 0' }],
      ['object-add', { 'qom-type': 'nope', id: 'x' }],
      ['object-del', { id: 'r0' }],
      ['object-del', { id: 'r0' }],
    ]);
  });

  it('refuses vfio-pci devices that the host does not have', async () => {
    await compare(config, [
      add('v', 'rp0', {}, 'vfio-pci'),
      add('v', 'rp0', { host: 'zz' }, 'vfio-pci'),
      add('v', 'rp0', { host: '0000:ff:1f.7' }, 'vfio-pci'),
      add('v', 'rp0', { sysfsdev: '/sys/nope' }, 'vfio-pci'),
    ]);
  });
});

describe('with firmware running and no operating system', () => {
  /** Firmware is done when every port has its bus number. */
  async function firmwareDone(peer: Peer): Promise<void> {
    const deadlineMs = Date.now() + 30_000;
    for (;;) {
      const pci = objects(await read(peer, 'query-pci'));
      const numbers = pci.flatMap(({ devices = [] }) =>
        objects(devices).flatMap(({ pci_bridge: bridge }) =>
          isJsonObject(bridge) && isJsonObject(bridge.bus) ? [bridge.bus.secondary] : [],
        ),
      );
      if (numbers.every((number) => number !== 0)) return;
      if (Date.now() > deadlineMs) throw new Error('firmware never numbered the buses');
    }
  }

  it.each(['acpi', 'native'] as const)(
    'shows what was there before it ran (%s)',
    async (hotplug) => {
      const config: QemuConfig = {
        release,
        guest: { kind: 'none' },
        devices: PORTS,
        hotplug,
        startPaused: true,
      };
      const before = [add('a', 'rp0', { membar: 1 << 20 }), add('v', 'rp1', {}, VIRTIO)];
      const after = [add('late', 'rp2', {}, 'edu'), del('late'), del('late'), BARRIER];
      const see = async (peer: Peer) => {
        await runSteps(peer, [...before, ['cont']]);
        await firmwareDone(peer);
        return runSteps(peer, after);
      };
      const real = await onReal(config, see);
      const simulated = await onSimulated(config, see);
      expect(simulated).toEqual(real);
    },
  );
});

describe('random commands', () => {
  const IDS = ['a', 'b', 'c', 'd'];
  const BUSES = ['rp0', 'rp1', 'rps', 'dn0', 'dn1', 'br0', 'rpx', 'rpo', 'pcie.0', 'up0'];
  const DRIVERS = ['pci-testdev', 'edu', VIRTIO, 'nvme', 'e1000e'];
  const PLACES = ['0x0', '0x0', '0x0.1', '0x0.2', '0x1', undefined];

  function randomSteps(random: Random, count: number): readonly Step[] {
    return Array.from({ length: count }, (): Step => {
      const kind = random.next();
      const id = random.pick(IDS);
      if (kind < 0.55) {
        const addr = random.pick(PLACES);
        const driver = random.pick(DRIVERS);
        return [
          'device_add',
          {
            driver,
            id,
            bus: random.pick(BUSES),
            ...(addr === undefined ? {} : { addr }),
            ...(random.chance(0.4) ? { multifunction: true } : {}),
            ...(driver === 'nvme' && random.chance(0.8) ? { serial: 's' } : {}),
          },
        ];
      }
      if (kind < 0.85) return ['device_del', { id }];
      if (kind < 0.95) return BARRIER;
      return ['system_reset'];
    });
  }

  it.each(['acpi', 'native'] as const)('do the same under %s hot-plug', async (hotplug) => {
    for (const seed of SEEDS) {
      const steps = randomSteps(new Random(`${hotplug} ${seed}`), 40);
      await compare({ devices: MOTLEY, hotplug, startPaused: true }, steps).catch(
        (error: unknown) => {
          throw new Error(`seed ${seed}`, { cause: error });
        },
      );
    }
  });
});

it('lists the properties of its types', async () => {
  const types = ['pcie-root-port', 'xio3130-downstream', 'pci-bridge', 'pxb-pcie', 'pci-testdev'];
  types.push('edu', 'virtio-rng-pci', 'e1000e', 'nvme', 'vfio-pci', 'nope');
  const list = async (peer: Peer) => {
    const lists: Record<string, JsonValue> = {};
    for (const typename of types) {
      const reply = await read(peer, 'device-list-properties', { typename });
      // `description` is for people; links to inner objects are no settings.
      lists[typename] = Array.isArray(reply)
        ? objects(reply)
            .filter(({ type }) => !String(type as string).startsWith('child<'))
            .map(({ name = '', type = '', 'default-value': value = null }): JsonValue => [
              name,
              type,
              value,
            ])
        : reply;
    }
    return sorted(lists);
  };
  const config: QemuConfig = { release, startPaused: true };
  expect(await onSimulated(config, list)).toEqual(await onReal(config, list));
});

it('says the same of malformed requests', async () => {
  const requests = [
    '{"execute":"query-status"} {"execute":"query-status","id":{"a":[1,"x"]}}',
    '["x"]',
    '{"arguments":{},"id":4}',
    '{"execute":"query-status","arguments":[],"id":4}',
    '{"execute":5,"id":4}',
    '{"execute":"query-status","more":1,"id":4}',
    '{"exec-oob":"query-status","id":4}',
    '}',
    "{'execute': 'query-name', 'id': 'single'}",
  ];
  const config: QemuConfig = { release, startPaused: true };
  const say = async ({ client, wait }: Peer) => {
    for (const request of requests) {
      await wait(client.send(request));
      await wait(client.command('query-name'));
    }
    return client.others
      .filter(({ id }) => typeof id !== 'number' || id === 4)
      .map((one) => sorted(one));
  };
  expect(await onSimulated(config, say)).toEqual(await onReal(config, say));
});
