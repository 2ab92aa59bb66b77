// A real Linux guest, which places BARs and lets devices go.
import { attach, detach, recover, status } from './scenario.mjs';

const ADDED = ['AddDevice done'];
const PLACED = [...ADDED, 'AwaitGuest done'];
const REMOVED = ['RemoveDevice done', 'AwaitRemoval done', 'ForgetAttachment done'];
const NVME = { driver: 'nvme', serial: 'qmplug' };
const NVME_PLACED = 'd0 on rp0 at 0000:01:00.0, 1 of 1 BARs placed';
// The driver of e1000e leaves I/O space off, and nobody reads the ROM: three of five are decoded.
const NIC_PLACED = 'd0 on rp0 at 0000:01:00.0, 3 of 5 BARs placed';

/** @type {readonly import('./scenario.mjs').Scenario[]} */
export const guestScenarios = [
  {
    name: 'guest-places-bars',
    shows: 'wait: placed returns when a driver of the guest decodes every memory BAR',
    machine: { ports: ['rp0', 'rp1'], guest: ['e1000e'] },
    steps: [
      attach(
        'd0',
        { attached: [NIC_PLACED], steps: PLACED },
        { emulate: { driver: 'e1000e' }, wait: 'placed' },
      ),
      status({ ports: { rp0: 'used d0', rp1: 'free' }, attachments: [NIC_PLACED] }),
    ],
    events: [],
    leaves: ['d0'],
  },
  {
    name: 'guest-without-driver',
    shows: 'wait: placed is pending at the deadline, and the device stays attached until detached',
    machine: { ports: ['rp0'], guest: [] },
    steps: [
      attach(
        'd0',
        {
          attached: ['d0 on rp0 at 0000:01:00.0, 0 of 2 BARs placed'],
          steps: [...ADDED, 'AwaitGuest waiting'],
          pending: true,
        },
        { wait: 'placed', options: { timeoutMs: 0 } },
      ),
      status({
        ports: { rp0: 'used d0' },
        attachments: ['d0 on rp0 at 0000:01:00.0, 0 of 2 BARs placed'],
      }),
      detach('d0', { removals: ['d0 unplugged'], steps: REMOVED }),
    ],
    events: ['DEVICE_DELETED d0'],
    leaves: [],
  },
  guestUnplug({
    name: 'guest-unplug',
    shows: 'a guest lets go by ACPI: the event comes while the detach waits',
  }),
  guestUnplug({
    name: 'guest-unplug-native',
    shows: 'a guest lets go natively, after its five seconds for a change of mind',
    hotplug: 'native',
  }),
  {
    name: 'guest-ejects-unasked',
    shows: 'what the guest ejects by itself is given up, and its port is free again',
    not: ['5.2'],
    machine: { ports: ['rp0'], guest: ['nvme'] },
    steps: [
      attach('d0', { attached: [NVME_PLACED], steps: PLACED }, { emulate: NVME, wait: 'placed' }),
      {
        do: 'elsewhere',
        intervention: {
          guest: 'for power in /sys/bus/pci/slots/*/power; do echo 0 >$power || exit 1; done',
          until: 'DEVICE_DELETED d0',
          departs: 'd0',
        },
      },
      recover({}),
      status({ ports: { rp0: 'free' } }),
    ],
    events: ['DEVICE_DELETED d0'],
    leaves: [],
  },
];

/**
 * A guest with a driver takes a device and gives it back.
 *
 * @param {Pick<import('./scenario.mjs').Scenario, 'name' | 'shows'> &
 *   Pick<import('./scenario.mjs').Machine, 'hotplug'>} options
 * @returns {import('./scenario.mjs').Scenario}
 */
function guestUnplug({ name, shows, ...hotplug }) {
  return {
    name,
    shows,
    not: ['5.2'],
    machine: { ports: ['rp0'], guest: ['nvme'], ...hotplug },
    steps: [
      attach('d0', { attached: [NVME_PLACED], steps: PLACED }, { emulate: NVME, wait: 'placed' }),
      detach('d0', { removals: ['d0 unplugged'], steps: REMOVED }),
      status({ ports: { rp0: 'free' } }),
    ],
    events: ['DEVICE_DELETED d0'],
    leaves: [],
  };
}
