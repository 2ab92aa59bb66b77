// A VM that somebody else booted, and goes on using.
import { attach, detach, elsewhere, status, TEST_DEVICE } from './scenario.mjs';

const ADDED = ['AddDevice done'];
const REMOVED = ['RemoveDevice done', 'AwaitRemoval done'];
const theirs = (/** @type {string} */ id, /** @type {string} */ bus, addr = '0x0') => ({
  ...TEST_DEVICE,
  id,
  bus,
  addr,
});

/** @type {readonly import('./scenario.mjs').Scenario[]} */
export const foreignScenarios = [
  {
    name: 'adopt',
    shows: 'ports that others filled are passed over, and what they put there can be taken out',
    not: ['5.2'],
    machine: {
      ports: ['rp0', 'rp1', 'rp2', 'rp3'],
      hotplug: 'native',
      args: [
        ...['-device', 'pci-testdev,id=cold0,bus=rp0'],
        // Without an id it is in no listing of ids, and yet it is there.
        ...['-device', 'pci-testdev,bus=rp1'],
      ],
    },
    steps: [
      elsewhere('device_add', theirs('hot0', 'rp2')),
      attach('d0', { attached: ['d0 on rp3'], steps: ADDED }),
      detach(
        'hot0',
        { removals: ['hot0 unplugged'], steps: REMOVED },
        { until: 'DEVICE_DELETED hot0' },
      ),
      attach('d1', { attached: ['d1 on rp2'], steps: ADDED }),
      status({
        ports: {
          rp0: 'used cold0',
          rp1: 'used /machine/peripheral-anon/device[0]',
          rp2: 'used d1',
          rp3: 'used d0',
        },
        attachments: ['d0 on rp3', 'd1 on rp2'],
      }),
    ],
    events: ['DEVICE_DELETED hot0'],
    leaves: ['cold0', 'd0', 'd1'],
  },
  {
    name: 'not-removable',
    shows:
      'what sits in no port, and what sits in a port without hot-plug, stays until the VM ends',
    machine: {
      ports: ['rp0'],
      args: [
        ...['-device', 'pci-testdev,id=root0,bus=pcie.0'],
        ...['-device', 'pcie-root-port,id=fixed0,chassis=9,bus=pcie.0,addr=1e.0,hotplug=off'],
        ...['-device', 'pci-testdev,id=fixed-device,bus=fixed0'],
      ],
    },
    steps: [
      detach('root0', { error: 'NOT_REMOVABLE' }),
      detach('fixed-device', { error: 'NOT_REMOVABLE' }),
      detach('rp0', { error: 'NOT_REMOVABLE' }),
    ],
    events: [],
    leaves: ['fixed-device', 'root0'],
  },
  {
    name: 'slot-mates',
    shows:
      'a removal that would take a stranger with it is refused, unless that is allowed by name',
    not: ['5.2'],
    machine: { ports: ['rp0'], hotplug: 'native' },
    steps: [
      elsewhere('device_add', theirs('mate1', 'rp0', '0x0.1')),
      elsewhere('device_add', { ...theirs('mate0', 'rp0'), multifunction: true }),
      detach('mate0', { error: 'SLOT_SHARED' }),
      detach(
        'mate0',
        { removals: ['mate0 unplugged', 'mate1 unplugged'], steps: REMOVED },
        { allow: ['slot-mates'] },
      ),
    ],
    events: ['DEVICE_DELETED mate0', 'DEVICE_DELETED mate1'],
    leaves: [],
  },
  {
    name: 'removed-by-another',
    shows: 'what another client takes out is given up by itself, and its port is free',
    not: ['5.2'],
    machine: { ports: ['rp0'], hotplug: 'native' },
    steps: [
      attach('d0', { attached: ['d0 on rp0'], steps: ADDED }),
      elsewhere('device_del', { id: 'd0' }, 'DEVICE_DELETED d0'),
      status({ ports: { rp0: 'free' } }),
      attach('d0', { attached: ['d0 on rp0'], steps: ADDED }),
    ],
    events: ['DEVICE_DELETED d0'],
    leaves: ['d0'],
  },
];
