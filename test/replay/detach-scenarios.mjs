// What goes out, at once or when the machine lets go, and what is kept until then.
import { attach, detach, detachAtOnce, recover, reset, status } from './scenario.mjs';

const ADDED = ['AddDevice done'];
const REMOVED = ['RemoveDevice done', 'AwaitRemoval done', 'ForgetAttachment done'];
const ASKED = ['RemoveDevice done', 'AwaitRemoval waiting', 'ForgetAttachment untouched'];

/** @type {readonly import('./scenario.mjs').Scenario[]} */
export const detachScenarios = [
  {
    name: 'detach',
    shows: 'one of two devices goes, the other stays, and detaching what is gone succeeds',
    not: ['5.2'],
    machine: { ports: ['rp0', 'rp1'], hotplug: 'native' },
    steps: [
      attach('d0', { attached: ['d0 on rp0'], steps: ADDED }),
      attach('d1', { attached: ['d1 on rp1'], steps: ADDED }),
      detach('d0', { removals: ['d0 unplugged'], steps: REMOVED }, { until: 'DEVICE_DELETED d0' }),
      status({ ports: { rp0: 'free', rp1: 'used d1' }, attachments: ['d1 on rp1'] }),
      detach('d0', { removals: ['d0 released'] }),
      detach('never-there', { removals: ['never-there released'] }),
    ],
    events: ['DEVICE_DELETED d0'],
    leaves: ['d1'],
  },
  {
    name: 'native-unplug-at-once',
    shows: 'with native hot-plug and no guest a slot is without power, and its device goes at once',
    not: ['5.2'],
    machine: { ports: ['rp0'], hotplug: 'native' },
    steps: [
      attach(
        'd0',
        { attached: ['d0 on rp0'], steps: ADDED },
        { emulate: { driver: 'virtio-rng-pci' } },
      ),
      detachAtOnce('d0', { removals: ['d0 unplugged'], steps: REMOVED }),
    ],
    events: ['DEVICE_DELETED /machine/peripheral/d0/virtio-backend', 'DEVICE_DELETED d0'],
    leaves: [],
  },
  {
    name: 'pending-unplug',
    shows:
      'without a guest to let go the port stays taken; a reset ends it and the next detach finishes',
    not: ['5.2'],
    machine: { ports: ['rp0', 'rp1'] },
    steps: [
      attach('d0', { attached: ['d0 on rp0'], steps: ADDED }),
      detachAtOnce('d0', { removals: ['d0 pending'], steps: ASKED, pending: true }),
      attach('d0', { error: 'STILL_PENDING' }),
      attach('d1', { error: 'PORT_OCCUPIED' }, { port: 'rp0' }),
      status({
        ports: { rp0: 'pending d0', rp1: 'free' },
        attachments: ['d0 on rp0'],
        removals: ['d0 pending'],
      }),
      detachAtOnce('d0', { removals: ['d0 pending'], steps: ASKED, pending: true }),
      reset('DEVICE_DELETED d0'),
      detachAtOnce('d0', { removals: ['d0 unplugged'], steps: REMOVED }),
      status({ ports: { rp0: 'free', rp1: 'free' } }),
    ],
    events: ['RESET', 'DEVICE_DELETED d0'],
    leaves: [],
  },
  {
    name: 'reset-while-waiting',
    shows: 'a detach that waits sees the device go with a reset',
    not: ['5.2'],
    machine: { ports: ['rp0'] },
    steps: [
      attach('d0', { attached: ['d0 on rp0'], steps: ADDED }),
      detach(
        'd0',
        { removals: ['d0 unplugged'], steps: REMOVED },
        { meanwhile: { command: 'system_reset' } },
      ),
    ],
    events: ['RESET', 'DEVICE_DELETED d0'],
    leaves: [],
  },
  {
    name: 'detach-without-waiting',
    shows: 'wait: false returns once the guest was asked; recover finishes after the reset',
    not: ['5.2'],
    machine: { ports: ['rp0'] },
    steps: [
      attach('d0', { attached: ['d0 on rp0'], steps: ADDED }),
      detach('d0', { removals: ['d0 requested'], steps: ASKED, pending: true }, { wait: false }),
      recover({ open: ['detach d0'] }, { timeoutMs: 0 }),
      reset('DEVICE_DELETED d0'),
      recover({ finished: ['detach d0'] }),
      recover({}),
    ],
    events: ['RESET', 'DEVICE_DELETED d0'],
    leaves: [],
  },
  {
    name: 'attach-detach-attach',
    shows: 'a port that a pending removal keeps is no free port; once it is over, it is',
    not: ['5.2'],
    machine: { ports: ['rp0', 'rp1', 'rp2'] },
    steps: [
      attach('d0', { attached: ['d0 on rp0'], steps: ADDED }),
      attach('d1', { attached: ['d1 on rp1'], steps: ADDED }),
      detachAtOnce('d0', { removals: ['d0 pending'], steps: ASKED, pending: true }),
      attach('d2', { attached: ['d2 on rp2'], steps: ADDED }),
      attach('d3', { error: 'NO_FREE_PORT' }),
      reset('DEVICE_DELETED d0'),
      attach('d3', { attached: ['d3 on rp0'], steps: ADDED }),
      status({
        ports: { rp0: 'used d3', rp1: 'used d1', rp2: 'used d2' },
        attachments: ['d1 on rp1', 'd2 on rp2', 'd3 on rp0'],
      }),
    ],
    events: ['RESET', 'DEVICE_DELETED d0'],
    leaves: ['d1', 'd2', 'd3'],
  },
];
