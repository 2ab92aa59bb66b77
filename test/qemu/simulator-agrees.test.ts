import { describe, expect, it } from 'vitest';
import { isJsonObject, type JsonObject, type JsonValue } from '../../src/json.js';
import { Random, rootPorts, type QemuConfig, type ReleaseName } from '../../src/simulator/index.js';
import {
  BARRIER,
  onReal,
  onSimulated,
  runSteps,
  type Peer,
  type Step,
} from '../support/agreement.js';
import { objects, read, sorted } from '../support/device-tree.js';
import { MOTLEY } from '../support/random-steps.js';

/** Of the random sequences; each takes about a second per mechanism. */
const SEEDS = [1, 2, 3, 4, 5];

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
      // What is called like the device that it is in leaves the short name without an owner.
      add('n', 'rp1', { serial: 's' }, 'nvme'),
      get('n', 'addr'),
      get('/machine/peripheral/n/n', 'type'),
      del('/machine/peripheral/n/n'),
      add('in', 'n'),
      get('n/n', 'type'),
      add('v', 'rp2', {}, VIRTIO),
      get('virtio-backend', 'type'),
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
