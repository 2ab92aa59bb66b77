import type { JsonObject, JsonValue } from '../../src/json.js';
import { rootPorts, type ColdDevice, type Random } from '../../src/simulator/index.js';
import { BARRIER, type Step } from './agreement.js';

/** A switch, a conventional bridge, an expander and a port that takes nothing. */
export const MOTLEY: readonly ColdDevice[] = [
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

const IDS = ['a', 'b', 'c', 'd', 'e'];
/** Each as often as it shall be drawn. */
const BUSES = ['rp0', 'rp0', 'rp1', 'rp1', 'rps', 'dn0', 'dn0', 'dn1', 'br0', 'br0', 'rpx', 'rpo'];
const WRONG_BUSES = ['pcie.0', 'up0', 'pxb0', 'nowhere', '/machine/peripheral/rp0/rp0', 'a', ''];
const DRIVERS = ['pci-testdev', 'edu', 'virtio-rng-pci', 'nvme', 'e1000e'];
const WRONG_DRIVERS = ['nope', 'virtio-rng-device', 'vfio-pci-nohotplug', 'pxb-pcie', ''];
const PLACES = ['0x0', '0x0', '0x0', '0x0.0', '0x0.1', '0x0.2', '0x0.7', '0x1', '0x1f', undefined];
const WRONG_PLACES: readonly JsonValue[] = ['zz', '0x20', '0x0.8', '', '-1', true, -2, 300, null];
const ODD_PROPERTIES: readonly JsonObject[] = [
  { nope: 1 },
  { multifunction: 'on' },
  { multifunction: 5 },
  { rombar: 0 },
  { rombar: 'zz' },
  { romfile: '' },
  { 'acpi-index': 7 },
  { 'acpi-index': 'zz' },
];
const PATHS = [
  ...['/machine/peripheral/a', '/machine/peripheral/rp0', '/machine/peripheral/rp0/rp0'],
  ...['/machine/peripheral/br0/br0', '/machine/q35/pcie.0', '/machine/peripheral', '/machine/nope'],
  ...['/machine/peripheral/d', 'b', 'rp1', ''],
];
const PROPERTIES = ['addr', 'parent_bus', 'hotplugged', 'type', 'multifunction', 'hotplug-handler'];
const LISTABLE = ['/machine/peripheral', '/machine/peripheral-anon', '/machine/nope', 'zz'];
const REMOVABLE = ['', 'nobody', 'rp0', 'br0', 'dn0', '/machine/peripheral/rp0/rp0', '/machine'];

/** What the machine of a sequence allows to be asked. */
export interface Mood {
  /** `stop` and `cont`, which start and hold the firmware or the guest. */
  readonly running: boolean;
}

/** A guest takes seconds of work to restart. */
const RESTARTS = 2;

/** A sequence that adds and removes, mostly in places that are right. */
export function randomSteps(random: Random, count: number, mood: Mood): readonly Step[] {
  const kinds: readonly (readonly [number, (random: Random) => Step])[] = [
    [42, addStep],
    [24, removeStep],
    [8, getStep],
    [4, (draw) => ['qom-list', { path: draw.pick(LISTABLE) }]],
    [4, objectStep],
    [4, () => BARRIER],
    [mood.running ? RESTARTS : 5, () => ['system_reset']],
    [3, () => ['query-pci']],
    [4, (draw) => [draw.pick(mood.running ? ['stop', 'cont', 'query-status'] : ['query-status'])]],
    [2, malformedStep],
  ];
  const total = kinds.reduce((sum, [weight]) => sum + weight, 0);
  return Array.from({ length: count }, () => {
    let left = random.next() * total;
    const [, make] = kinds.find(([weight]) => (left -= weight) < 0) ?? [0, addStep];
    return make(random);
  });
}

function addStep(random: Random): Step {
  const driver = random.pick(random.chance(0.05) ? WRONG_DRIVERS : DRIVERS);
  // Of two properties that are wrong QEMU names the one that its hash table holds first.
  const wrongPlace = random.chance(0.06);
  const addr = random.pick<JsonValue | undefined>(wrongPlace ? WRONG_PLACES : PLACES);
  const odd = !wrongPlace && random.chance(0.06) ? random.pick(ODD_PROPERTIES) : {};
  return [
    'device_add',
    {
      driver,
      ...(random.chance(0.95) ? { id: random.pick(IDS) } : {}),
      ...(random.chance(0.97)
        ? { bus: random.pick(random.chance(0.1) ? WRONG_BUSES : BUSES) }
        : {}),
      ...(addr === undefined ? {} : { addr }),
      ...(random.chance(0.4) ? { multifunction: true } : {}),
      ...(driver === 'nvme' && random.chance(0.85) ? { serial: 's' } : {}),
      ...(driver === 'pci-testdev' && random.chance(0.2) ? { membar: 1 << 20 } : {}),
      ...odd,
    },
  ];
}

function removeStep(random: Random): Step {
  if (random.chance(0.12)) return ['device_del', { id: random.pick(REMOVABLE) }];
  const id = random.pick(IDS);
  return ['device_del', { id: random.chance(0.1) ? `/machine/peripheral/${id}` : id }];
}

function getStep(random: Random): Step {
  const property = random.chance(0.1) ? 'nope' : random.pick(PROPERTIES);
  return ['qom-get', { path: random.pick(PATHS), property }];
}

function objectStep(random: Random): Step {
  const id = random.pick(['r0', 'r1', '1 0']);
  if (random.chance(0.4)) return ['object-del', { id }];
  return ['object-add', { 'qom-type': random.pick(['rng-random', 'rng-builtin', 'nope']), id }];
}

function malformedStep(random: Random): Step {
  return random.pick<Step>([
    ['no-such-command'],
    ['device_del', {}],
    ['device_del', { id: 5 }],
    ['qom-get', { path: '/machine' }],
    ['qom-list', {}],
    ['query-status', { x: 1 }],
    ['device_add', { driver: 5 }],
    ['device_add', { driver: 'edu', id: 5, bus: 'rp0' }],
    ['device_add', { driver: 'edu', id: 'e', bus: 5 }],
    ['device_add', { driver: 'edu', id: ['e'], bus: 'rp1' }],
    ['device_add', { driver: null }],
  ]);
}
