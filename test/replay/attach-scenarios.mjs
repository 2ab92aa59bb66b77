// What goes in, where, and what is refused.
import { attach, elsewhere, status, TEST_DEVICE } from './scenario.mjs';

const PORTS = ['rp0', 'rp1', 'rp2'];
const DONE = ['AddDevice done'];
const UNDONE = ['AddDevice undone'];

/** A host function that no machine has, so that a real QEMU does not find it either. */
const ABSENT = 'ffe0:3b:00.0';

/** @type {readonly import('./scenario.mjs').Scenario[]} */
export const attachScenarios = [
  {
    name: 'attach',
    shows: 'a device goes to the lowest free port, and its place is verified',
    machine: { ports: PORTS },
    steps: [
      attach('d0', { attached: ['d0 on rp0'], steps: DONE }),
      attach('d1', { attached: ['d1 on rp1'], steps: DONE }),
      status({
        ports: { rp0: 'used d0', rp1: 'used d1', rp2: 'free' },
        attachments: ['d0 on rp0', 'd1 on rp1'],
      }),
    ],
    events: [],
    leaves: ['d0', 'd1'],
  },
  {
    name: 'attach-to-named-port',
    shows: 'a port that is named is taken, whatever lower one is free',
    machine: { ports: PORTS },
    steps: [
      attach('d0', { attached: ['d0 on rp2'], steps: DONE }, { port: 'rp2' }),
      attach('d1', { attached: ['d1 on rp0'], steps: DONE }),
    ],
    events: [],
    leaves: ['d0', 'd1'],
  },
  {
    name: 'dry-run',
    shows: 'a preview plans the same port and changes nothing',
    machine: { ports: ['rp0', 'rp1'] },
    steps: [
      {
        do: 'planAttach',
        request: { id: 'd0', emulate: TEST_DEVICE, wait: 'placed' },
        yields: { steps: ['AddDevice d0 on rp0', 'AwaitGuest'] },
      },
      status({ ports: { rp0: 'free', rp1: 'free' } }),
    ],
    events: [],
    leaves: [],
  },
  {
    name: 'already-attached',
    shows: 'asking again is a success and sends nothing; asking for something else is refused',
    machine: { ports: PORTS },
    steps: [
      attach('d0', { attached: ['d0 on rp0'], steps: DONE }),
      attach('d0', { attached: ['d0 on rp0'], already: true }),
      attach('d0', { attached: ['d0 on rp0'], already: true }, { port: 'rp0' }),
      attach('d0', { error: 'ATTACHED_ELSEWHERE' }, { port: 'rp1' }),
      attach('d0', { error: 'ATTACHED_ELSEWHERE' }, { emulate: { driver: 'virtio-rng-pci' } }),
    ],
    events: [],
    leaves: ['d0'],
  },
  {
    name: 'occupied-port',
    shows: 'a named port that holds something is refused before anything is sent',
    machine: { ports: ['rp0', 'rp1'], args: ['-device', 'pci-testdev,id=cold0,bus=rp0'] },
    steps: [
      attach('d0', { error: 'PORT_OCCUPIED' }, { port: 'rp0' }),
      status({ ports: { rp0: 'used cold0', rp1: 'free' } }),
    ],
    events: [],
    leaves: ['cold0'],
  },
  {
    name: 'no-free-port',
    shows: 'a full VM takes nothing more',
    machine: { ports: ['rp0', 'rp1'] },
    steps: [
      attach('d0', { attached: ['d0 on rp0'], steps: DONE }),
      attach('d1', { attached: ['d1 on rp1'], steps: DONE }),
      attach('d2', { error: 'NO_FREE_PORT' }),
    ],
    events: [],
    leaves: ['d0', 'd1'],
  },
  {
    name: 'no-such-port',
    shows: 'a port that is not there, or is no port, is refused',
    machine: { ports: ['rp0'], args: ['-device', 'pci-testdev,id=cold0,bus=pcie.0'] },
    steps: [
      attach('d0', { error: 'NO_SUCH_PORT' }, { port: 'rp7' }),
      attach('d0', { error: 'NO_SUCH_PORT' }, { port: 'pcie.0' }),
    ],
    events: [],
    leaves: ['cold0'],
  },
  {
    name: 'port-without-hotplug',
    shows: 'a port made with hotplug=off is passed over, and refused by name',
    machine: {
      ports: ['rp0'],
      args: ['-device', 'pcie-root-port,id=fixed0,chassis=9,bus=pcie.0,addr=1.0,hotplug=off'],
    },
    steps: [
      attach('d0', { error: 'PORT_NOT_HOTPLUGGABLE' }, { port: 'fixed0' }),
      attach('d0', { attached: ['d0 on rp0'], steps: DONE }),
      status({ ports: { fixed0: 'unusable', rp0: 'used d0' }, attachments: ['d0 on rp0'] }),
    ],
    events: [],
    leaves: ['d0'],
  },
  {
    name: 'switch-port',
    shows: 'the downstream ports of a switch take devices; its upstream port does not',
    machine: {
      ports: ['rp0'],
      args: [
        ...['-device', 'x3130-upstream,id=up0,bus=rp0'],
        ...['-device', 'xio3130-downstream,id=dp0,bus=up0,chassis=20,slot=0,addr=0.0'],
        ...['-device', 'xio3130-downstream,id=dp1,bus=up0,chassis=21,slot=1,addr=1.0'],
      ],
    },
    steps: [
      attach('d0', { attached: ['d0 on dp0'], steps: DONE }),
      attach('d1', { attached: ['d1 on dp1'], steps: DONE }),
      attach('d2', { error: 'NO_FREE_PORT' }),
    ],
    events: [],
    leaves: ['d0', 'd1', 'up0'],
  },
  {
    name: 'unknown-driver',
    shows: 'a driver that this QEMU does not have fails, and nothing is left (igb is new in 8.0)',
    not: ['10.0', '11.1'],
    machine: { ports: ['rp0'] },
    steps: [
      attach(
        'd0',
        { error: 'STEP_FAILED', because: 'type-not-found', steps: UNDONE },
        { emulate: { driver: 'igb' } },
      ),
      attach('d0', { attached: ['d0 on rp0'], steps: DONE }),
    ],
    events: [],
    leaves: ['d0'],
  },
  {
    name: 'refused-property',
    shows: 'a property value that QEMU refuses fails the step, and the port is free again',
    not: ['5.2'],
    machine: { ports: ['rp0', 'rp1'] },
    steps: [
      attach(
        'd0',
        { attached: ['d0 on rp0'], steps: DONE },
        { emulate: { ...TEST_DEVICE, 'acpi-index': 5 } },
      ),
      attach(
        'd1',
        { error: 'STEP_FAILED', because: 'index-taken', steps: UNDONE },
        { emulate: { ...TEST_DEVICE, 'acpi-index': 5 } },
      ),
      status({ ports: { rp0: 'used d0', rp1: 'free' }, attachments: ['d0 on rp0'] }),
      attach('d1', { attached: ['d1 on rp1'], steps: DONE }),
    ],
    events: [],
    leaves: ['d0', 'd1'],
  },
  {
    name: 'port-taken-meanwhile',
    shows: 'a port that another client fills between the look and the command is left to it',
    machine: { ports: ['rp0', 'rp1'] },
    steps: [
      attach(
        'd0',
        { error: 'STEP_FAILED', because: 'slot-occupied', steps: UNDONE },
        {
          between: {
            at: 'do AddDevice before-intent',
            command: 'device_add',
            arguments: { ...TEST_DEVICE, id: 'theirs', bus: 'rp0', addr: '0x0' },
          },
        },
      ),
      attach('d0', { attached: ['d0 on rp1'], steps: DONE }),
      status({ ports: { rp0: 'used theirs', rp1: 'used d0' }, attachments: ['d0 on rp1'] }),
    ],
    events: [],
    leaves: ['d0', 'theirs'],
  },
  {
    name: 'host-device-absent',
    shows: 'QEMU cannot open the host device: everything done on the host is undone, in reverse',
    machine: { ports: ['rp0', 'rp1'] },
    host: [
      {
        bdf: ABSENT,
        vendorId: 0x8086,
        deviceId: 0x10d3,
        classCode: 0x020000,
        nativeDriver: 'e1000e',
        group: 17,
      },
    ],
    steps: [
      {
        do: 'attach',
        request: { device: ABSENT, allow: ['unknown-window'] },
        yields: {
          error: 'STEP_FAILED',
          because: 'no-host-device',
          steps: [
            'ReserveGroup undone',
            'BindDriver undone',
            'GrantAccess undone',
            'AddDevice undone',
          ],
        },
      },
      status({ ports: { rp0: 'free', rp1: 'free' } }),
    ],
    events: [],
    leaves: [],
  },
  {
    name: 'duplicate-id',
    shows: 'an id that another client uses is refused, and its device is left alone',
    machine: { ports: ['rp0', 'rp1'] },
    steps: [
      elsewhere('device_add', { ...TEST_DEVICE, id: 'd0', bus: 'rp1', addr: '0x0' }),
      attach('d0', { error: 'ID_TAKEN' }),
      attach('d0', { error: 'ID_TAKEN' }, { port: 'rp1' }),
      status({ ports: { rp0: 'free', rp1: 'used d0' } }),
    ],
    events: [],
    leaves: ['d0'],
  },
  idTakenMeanwhile({
    name: 'id-taken-meanwhile',
    shows: 'a device that took the id between the look and the command is not removed as ours',
    port: 'rp1',
    left: { rp0: 'free', rp1: 'used d0' },
  }),
  idTakenMeanwhile({
    name: 'id-and-port-taken-meanwhile',
    shows: 'nor is one that took both the id and the port',
    port: 'rp0',
    left: { rp0: 'used d0', rp1: 'free' },
  }),
];

/**
 * Another client adds a device with the id that ours is about to get.
 *
 * @param {Pick<import('./scenario.mjs').Scenario, 'name' | 'shows'> & {
 *   readonly port: string, readonly left: Readonly<Record<string, string>>
 * }} options `port` is where it goes, `left` what the ports hold in the end
 * @returns {import('./scenario.mjs').Scenario}
 */
function idTakenMeanwhile({ name, shows, port, left }) {
  const theirs = { ...TEST_DEVICE, id: 'd0', bus: port, addr: '0x0' };
  const between = {
    at: 'do AddDevice before-intent',
    command: 'device_add',
    arguments: theirs,
  };
  return {
    name,
    shows,
    machine: { ports: ['rp0', 'rp1'] },
    steps: [
      attach('d0', { error: 'STEP_FAILED', because: 'duplicate-id', steps: UNDONE }, { between }),
      status({ ports: left }),
    ],
    events: [],
    leaves: ['d0'],
  };
}
