// Ports that hot-plug natively, and VMs with little in them.
import { attach, detach, recover, status, TEST_DEVICE } from './scenario.mjs';

const ADDED = ['AddDevice done'];
const REMOVED = ['RemoveDevice done', 'AwaitRemoval done', 'ForgetAttachment done'];
const out = (/** @type {string} */ id) =>
  detach(id, { removals: [`${id} unplugged`], steps: REMOVED }, { until: `DEVICE_DELETED ${id}` });

/** @type {readonly import('./scenario.mjs').Scenario[]} */
export const nativeScenarios = [
  {
    name: 'native-attach',
    shows: 'native ports take devices in the order of their slots',
    machine: { ports: ['rp0', 'rp1', 'rp2'], hotplug: 'native' },
    steps: [
      attach('d0', { attached: ['d0 on rp0'], steps: ADDED }),
      attach('d1', { attached: ['d1 on rp1'], steps: ADDED }, { emulate: { driver: 'e1000e' } }),
      status({
        ports: { rp0: 'used d0', rp1: 'used d1', rp2: 'free' },
        attachments: ['d0 on rp0', 'd1 on rp1'],
      }),
    ],
    events: [],
    leaves: ['d0', 'd1'],
  },
  {
    name: 'native-all-out',
    shows: 'what came in goes out again, in another order',
    not: ['5.2'],
    machine: { ports: ['rp0', 'rp1'], hotplug: 'native' },
    steps: [
      attach('d0', { attached: ['d0 on rp0'], steps: ADDED }),
      attach('d1', { attached: ['d1 on rp1'], steps: ADDED }),
      out('d1'),
      out('d0'),
      status({ ports: { rp0: 'free', rp1: 'free' } }),
      recover({}),
    ],
    events: ['DEVICE_DELETED d1', 'DEVICE_DELETED d0'],
    leaves: [],
  },
  {
    name: 'native-same-id-again',
    shows: 'an id and its port are free again once the device is gone',
    not: ['5.2'],
    machine: { ports: ['rp0', 'rp1'], hotplug: 'native' },
    steps: [
      attach('d0', { attached: ['d0 on rp0'], steps: ADDED }),
      out('d0'),
      attach('d0', { attached: ['d0 on rp0'], steps: ADDED }),
      attach('d0', { attached: ['d0 on rp0'], already: true }),
      out('d0'),
      attach('d0', { attached: ['d0 on rp1'], steps: ADDED }, { port: 'rp1' }),
    ],
    events: ['DEVICE_DELETED d0', 'DEVICE_DELETED d0'],
    leaves: ['d0'],
  },
  {
    name: 'several-drivers',
    shows: 'devices of several kinds, each with the properties that it was asked for',
    machine: { ports: ['rp0', 'rp1', 'rp2'] },
    steps: [
      attach(
        'rng',
        { attached: ['rng on rp0'], steps: ADDED },
        { emulate: { driver: 'virtio-rng-pci' } },
      ),
      attach(
        'disk',
        { attached: ['disk on rp1'], steps: ADDED },
        { emulate: { driver: 'nvme', serial: 'qmplug' } },
      ),
      attach('nic', { attached: ['nic on rp2'], steps: ADDED }, { emulate: { driver: 'e1000e' } }),
      status({
        ports: { rp0: 'used rng', rp1: 'used disk', rp2: 'used nic' },
        attachments: ['rng on rp0', 'disk on rp1', 'nic on rp2'],
      }),
    ],
    events: [],
    leaves: ['disk', 'nic', 'rng'],
  },
  {
    name: 'dry-run-refused',
    shows: 'a preview is refused for what the attach would be refused for',
    machine: { ports: ['rp0'] },
    steps: [
      attach('d0', { attached: ['d0 on rp0'], steps: ADDED }),
      {
        do: 'planAttach',
        request: { id: 'd1', emulate: TEST_DEVICE },
        yields: { error: 'NO_FREE_PORT' },
      },
      {
        do: 'planAttach',
        request: { id: 'd1', emulate: TEST_DEVICE, port: 'rp0' },
        yields: { error: 'PORT_OCCUPIED' },
      },
      {
        do: 'planAttach',
        request: { id: 'd0', emulate: TEST_DEVICE },
        yields: { attached: ['d0 on rp0'], already: true },
      },
    ],
    events: [],
    leaves: ['d0'],
  },
  {
    name: 'no-ports',
    shows: 'a VM that was booted without ports takes nothing, and is told apart from a full one',
    machine: { ports: [] },
    steps: [
      attach('d0', { error: 'NO_FREE_PORT' }),
      attach('d0', { error: 'NO_SUCH_PORT' }, { port: 'rp0' }),
      status({ ports: {} }),
    ],
    events: [],
    leaves: [],
  },
  {
    name: 'nothing-to-do',
    shows: 'where nothing was begun there is nothing to detach and nothing to recover',
    machine: { ports: ['rp0'] },
    steps: [
      recover({}),
      detach('d0', { removals: ['d0 released'] }),
      recover({}),
      status({ ports: { rp0: 'free' } }),
    ],
    events: [],
    leaves: [],
  },
];
