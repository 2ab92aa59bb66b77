// The other machines: slots of PCI bridges, ports of Arm, channels and zPCI of the mainframe.
import {
  attach,
  detach,
  detachAtOnce,
  elsewhere,
  recover,
  reset,
  status,
  TEST_DEVICE,
} from './scenario.mjs';

const ADDED = ['AddDevice done'];
const REMOVED = ['RemoveDevice done', 'AwaitRemoval done', 'ForgetAttachment done'];
const ASKED = ['RemoveDevice done', 'AwaitRemoval waiting', 'ForgetAttachment untouched'];
const RNG_PCI = { driver: 'virtio-rng-pci' };
/** Its registers are the same in every version. */
const NIC = { driver: 'e1000e' };
const RNG_CCW = { driver: 'virtio-rng-ccw' };

/** Of a parent that no machine has, so that a real QEMU does not find it either. */
const SUBCHANNEL = '11111111-2222-4333-8444-555555555555';
const MATRIX = '11111111-2222-4333-8444-666666666666';

const gone = (/** @type {string} */ id) =>
  detach(id, { removals: [`${id} unplugged`], steps: REMOVED }, { until: `DEVICE_DELETED ${id}` });
const pending = (/** @type {string} */ id) =>
  detachAtOnce(id, { removals: [`${id} pending`], steps: ASKED, pending: true });

/** @type {import('./scenario.mjs').Machine} */
const PC = { kind: 'pc', args: ['-device', 'pci-bridge,id=pb0,chassis_nr=1,addr=5.0'] };

/** @type {readonly import('./scenario.mjs').Scenario[]} */
const pcScenarios = [
  {
    name: 'pc-attach',
    shows: 'a conventional machine takes devices in the lowest free slots of its root bus',
    machine: PC,
    steps: [
      attach('d0', {
        attached: ['d0 on pci.0.2 at 0000:00:02.0, 0 of 2 BARs placed'],
        steps: ADDED,
      }),
      attach(
        'd1',
        { attached: ['d1 on pci.0.3 at 0000:00:03.0, 0 of 5 BARs placed'], steps: ADDED },
        { emulate: NIC },
      ),
    ],
    events: [],
    leaves: ['d0', 'd1'],
  },
  {
    name: 'pc-bridge-slot',
    shows: 'a slot of a bridge is a port like any other, and its neighbours are left alone',
    machine: PC,
    steps: [
      attach('d0', { attached: ['d0 on pb0.1'], steps: ADDED }, { port: 'pb0.1' }),
      attach('d1', { attached: ['d1 on pb0.31'], steps: ADDED }, { port: 'pb0.31' }),
      attach('d2', { error: 'PORT_OCCUPIED' }, { port: 'pb0.1' }),
      attach('d2', { error: 'NO_SUCH_PORT' }, { port: 'pb0.32' }),
    ],
    events: [],
    leaves: ['d0', 'd1'],
  },
  {
    name: 'pc-pending-unplug',
    shows: 'without a guest an ACPI unplug waits for the reset, in a bridge and on the root bus',
    not: ['5.2'],
    machine: PC,
    steps: [
      attach('d0', {
        attached: ['d0 on pci.0.2 at 0000:00:02.0, 0 of 2 BARs placed'],
        steps: ADDED,
      }),
      attach('d1', { attached: ['d1 on pb0.7'], steps: ADDED }, { port: 'pb0.7' }),
      pending('d1'),
      attach('d2', { error: 'PORT_OCCUPIED' }, { port: 'pb0.7' }),
      reset('DEVICE_DELETED d1'),
      detachAtOnce('d1', { removals: ['d1 unplugged'], steps: REMOVED }),
      attach('d2', { attached: ['d2 on pb0.7'], steps: ADDED }, { port: 'pb0.7' }),
    ],
    events: ['RESET', 'DEVICE_DELETED d1'],
    leaves: ['d0', 'd2'],
  },
  {
    name: 'pc-express-device',
    shows: 'a PCI Express device goes into a conventional slot, and out again with the reset',
    not: ['5.2'],
    machine: PC,
    steps: [
      attach(
        'n0',
        { attached: ['n0 on pci.0.2 at 0000:00:02.0, 0 of 5 BARs placed'], steps: ADDED },
        { emulate: NIC },
      ),
      pending('n0'),
      reset('DEVICE_DELETED n0'),
      recover({ finished: ['detach n0'] }),
    ],
    events: ['RESET', 'DEVICE_DELETED n0'],
    leaves: [],
  },
  {
    name: 'pc-slot-taken-meanwhile',
    shows: 'a slot that another client took between the look and the step is refused by QEMU',
    machine: PC,
    steps: [
      attach(
        'd0',
        { error: 'STEP_FAILED', because: 'slot-occupied', steps: ['AddDevice undone'] },
        {
          between: {
            at: 'do AddDevice before-intent',
            command: 'device_add',
            arguments: { ...TEST_DEVICE, id: 'other', bus: 'pci.0', addr: '0x2' },
          },
        },
      ),
    ],
    events: [],
    leaves: ['other'],
  },
];

/** @type {import('./scenario.mjs').Machine} */
const VIRT = { kind: 'virt', ports: ['rp0', 'rp1'] };

/** @type {readonly import('./scenario.mjs').Scenario[]} */
const virtScenarios = [
  {
    name: 'virt-attach',
    shows: 'the ports of an Arm machine take devices in the order of their slots',
    machine: VIRT,
    steps: [
      attach('d0', { attached: ['d0 on rp0'], steps: ADDED }),
      attach('d1', { attached: ['d1 on rp1'], steps: ADDED }, { emulate: RNG_PCI }),
      attach('d2', { error: 'NO_FREE_PORT' }),
      status({
        ports: { rp0: 'used d0', rp1: 'used d1' },
        attachments: ['d0 on rp0', 'd1 on rp1'],
      }),
    ],
    events: [],
    leaves: ['d0', 'd1'],
  },
  {
    name: 'virt-detach',
    shows: 'a slot without power gives its device up at once, and is free again',
    not: ['5.2'],
    machine: VIRT,
    steps: [
      attach('d0', { attached: ['d0 on rp0'], steps: ADDED }),
      gone('d0'),
      status({ ports: { rp0: 'free', rp1: 'free' } }),
      attach('d0', { attached: ['d0 on rp0'], steps: ADDED }),
    ],
    events: ['DEVICE_DELETED d0'],
    leaves: ['d0'],
  },
  {
    name: 'virt-named-port',
    shows: 'a named port of an Arm machine is taken, and asking again changes nothing',
    machine: VIRT,
    steps: [
      attach('d0', { attached: ['d0 on rp1'], steps: ADDED }, { port: 'rp1' }),
      attach('d0', { attached: ['d0 on rp1'], already: true }, { port: 'rp1' }),
      attach('d0', { error: 'ATTACHED_ELSEWHERE' }, { port: 'rp0' }),
    ],
    events: [],
    leaves: ['d0'],
  },
  {
    name: 'virt-foreign-device',
    shows: 'what another client put in is seen, and taken out on request',
    not: ['5.2'],
    machine: VIRT,
    steps: [
      elsewhere('device_add', { ...TEST_DEVICE, id: 'other', bus: 'rp0', addr: '0x0' }),
      attach('d0', { error: 'PORT_OCCUPIED' }, { port: 'rp0' }),
      detach(
        'other',
        { removals: ['other unplugged'], steps: ['RemoveDevice done', 'AwaitRemoval done'] },
        { until: 'DEVICE_DELETED other' },
      ),
      attach('d0', { attached: ['d0 on rp0'], steps: ADDED }, { port: 'rp0' }),
    ],
    events: ['DEVICE_DELETED other'],
    leaves: ['d0'],
  },
];

/** @type {import('./scenario.mjs').Machine} */
const S390X = { kind: 's390-ccw-virtio' };

/** @type {readonly import('./scenario.mjs').Scenario[]} */
const channelScenarios = [
  {
    name: 'ccw-attach',
    shows: 'channel devices take the lowest free number, or the set or number that is named',
    machine: S390X,
    steps: [
      attach('c0', { attached: ['c0 on ccw0'], steps: ADDED }, { emulate: RNG_CCW }),
      attach('c1', { attached: ['c1 on ccw1'], steps: ADDED }, { emulate: RNG_CCW, port: 'ccw1' }),
      attach(
        'c2',
        { attached: ['c2 on ccw3'], steps: ADDED },
        { emulate: RNG_CCW, port: 'fe.3.ffff' },
      ),
      attach('c3', { error: 'PORT_OCCUPIED' }, { emulate: RNG_CCW, port: 'fe.0.0000' }),
      attach('c3', { error: 'NO_SUCH_PORT' }, { emulate: RNG_CCW, port: 'ccw4' }),
    ],
    events: [],
    leaves: ['c0', 'c1', 'c2'],
  },
  {
    name: 'ccw-detach',
    shows: 'a channel device goes without asking, and its number is used again',
    machine: S390X,
    steps: [
      attach('c0', { attached: ['c0 on ccw0'], steps: ADDED }, { emulate: RNG_CCW }),
      attach('c1', { attached: ['c1 on ccw0'], steps: ADDED }, { emulate: RNG_CCW }),
      gone('c0'),
      attach(
        'c2',
        { attached: ['c2 on ccw0'], steps: ADDED },
        { emulate: RNG_CCW, port: 'fe.0.0000' },
      ),
      detach('c0', { removals: ['c0 released'] }),
    ],
    events: ['DEVICE_DELETED /machine/peripheral/c0/virtio-backend', 'DEVICE_DELETED c0'],
    leaves: ['c1', 'c2'],
  },
  {
    name: 'ccw-cold-device',
    shows: 'a device from the command line keeps its number and is no attachment of ours',
    machine: { ...S390X, args: ['-device', 'virtio-rng-ccw,id=cold,devno=fe.0.0000'] },
    steps: [
      attach('c0', { attached: ['c0 on ccw0'], steps: ADDED }, { emulate: RNG_CCW }),
      attach('c1', { error: 'PORT_OCCUPIED' }, { emulate: RNG_CCW, port: 'fe.0.0001' }),
      attach('cold', { error: 'ID_TAKEN' }, { emulate: RNG_CCW }),
    ],
    events: [],
    leaves: ['c0', 'cold'],
  },
  {
    name: 'ccw-number-taken-meanwhile',
    shows: 'a number that another client took between the look and the step is refused by QEMU',
    machine: S390X,
    steps: [
      attach(
        'c0',
        { error: 'STEP_FAILED', because: 'slot-occupied', steps: ['AddDevice undone'] },
        {
          emulate: RNG_CCW,
          between: {
            at: 'do AddDevice before-intent',
            command: 'device_add',
            arguments: { ...RNG_CCW, id: 'other', devno: 'fe.0.0000' },
          },
        },
      ),
    ],
    events: [],
    leaves: ['other'],
  },
  {
    name: 'vfio-ccw-refused',
    shows: 'a subchannel that QEMU does not find takes everything back (no channel hardware)',
    machine: S390X,
    mdevs: { parent: '0.0.0313', type: 'vfio_ccw-io', api: 'vfio-ccw', uuid: SUBCHANNEL },
    steps: [
      {
        do: 'attach',
        request: { device: SUBCHANNEL },
        yields: {
          error: 'STEP_FAILED',
          because: 'no-host-device',
          steps: ['ReserveGroup undone', 'GrantAccess undone', 'AddDevice undone'],
        },
      },
    ],
    events: [],
    leaves: [],
  },
  {
    name: 'vfio-ccw-attach',
    shows:
      'a subchannel is lent by its UUID and comes back (no channel hardware: another plays it)',
    machine: S390X,
    mdevs: { parent: '0.0.0313', type: 'vfio_ccw-io', api: 'vfio-ccw', uuid: SUBCHANNEL },
    standIn: { driver: 'vfio-ccw', played: 'virtio-rng-ccw', inner: 'virtio-backend' },
    steps: [
      {
        do: 'attach',
        request: { device: SUBCHANNEL, port: 'fe.1.1234' },
        yields: {
          attached: ['vfio_device_0_0 on ccw1'],
          steps: ['ReserveGroup done', 'GrantAccess done', 'AddDevice done'],
        },
      },
      {
        do: 'attach',
        request: { device: SUBCHANNEL },
        yields: { attached: ['vfio_device_0_0 on ccw1'], already: true },
      },
      attach('c0', { error: 'PORT_OCCUPIED' }, { emulate: RNG_CCW, port: 'fe.1.1234' }),
      detach(
        SUBCHANNEL,
        {
          removals: ['vfio_device_0_0 released'],
          steps: [
            ...REMOVED.slice(0, 2),
            'RevokeAccess done',
            'ReleaseGroup done',
            'ForgetAttachment done',
          ],
        },
        { until: 'DEVICE_DELETED vfio_device_0_0' },
      ),
    ],
    events: ['DEVICE_DELETED vfio_device_0_0'],
    leaves: [],
  },
  {
    name: 'vfio-ap-refused',
    shows: 'a machine without crypto queues has no port for a matrix, and nothing is sent',
    machine: S390X,
    mdevs: { parent: 'matrix', type: 'vfio_ap-passthrough', api: 'vfio-ap', uuid: MATRIX },
    steps: [{ do: 'attach', request: { device: MATRIX }, yields: { error: 'NO_FREE_PORT' } }],
    events: [],
    leaves: [],
  },
];

/** @type {readonly import('./scenario.mjs').Scenario[]} */
const zpciScenarios = [
  {
    name: 'zpci-attach',
    shows: 'a PCI device gets the numbers that were asked for, or those that QEMU chooses',
    // 5.2 has no such device with MSI-X there; in 11.1 it has fewer registers.
    not: ['5.2', '11.1'],
    machine: S390X,
    steps: [
      attach(
        'd0',
        {
          attached: ['d0 on pci.0.0 at 0007:00:00.0, 0 of 3 BARs placed'],
          steps: ['AddZpci done', 'AddDevice done'],
        },
        { emulate: RNG_PCI, zpci: { uid: 7, fid: 9 } },
      ),
      attach(
        'd1',
        { attached: ['d1 on pci.0.1 at 0001:00:00.0, 0 of 3 BARs placed'], steps: ADDED },
        { emulate: RNG_PCI },
      ),
      attach('d2', { error: 'ID_TAKEN' }, { emulate: RNG_PCI, zpci: { uid: 7, fid: undefined } }),
      attach('d2', { error: 'ID_TAKEN' }, { emulate: RNG_PCI, zpci: { uid: undefined, fid: 9 } }),
    ],
    events: [],
    leaves: ['d0', 'd1', 'zpci_d0'],
  },
  {
    name: 'zpci-left-behind',
    shows:
      'a partner without its device is never deleted, and is used by the next attach of the id',
    // 5.2 has no such device with MSI-X there; in 11.1 it has fewer registers.
    not: ['5.2', '11.1'],
    machine: S390X,
    steps: [
      attach(
        'n0',
        {
          error: 'STEP_FAILED',
          because: 'unknown',
          steps: ['AddZpci undone', 'AddDevice undone'],
        },
        {
          emulate: { driver: 'virtio-net-pci', netdev: 'missing' },
          zpci: { uid: 77, fid: 5 },
        },
      ),
      detach('zpci_n0', { error: 'NOT_REMOVABLE' }),
      attach(
        'n0',
        { attached: ['n0 on pci.0.0 at 004d:00:00.0, 0 of 3 BARs placed'], steps: ADDED },
        { emulate: RNG_PCI, zpci: { uid: 77, fid: 5 } },
      ),
    ],
    events: [],
    leaves: ['n0', 'zpci_n0'],
  },
  {
    name: 'zpci-reset',
    shows: 'an unplug that the guest does not answer is completed by a reset, with its partner',
    // 5.2 has no such device with MSI-X there; in 11.1 it has fewer registers.
    not: ['5.2', '11.1'],
    machine: S390X,
    steps: [
      attach(
        'd0',
        {
          attached: ['d0 on pci.0.0 at 0003:00:00.0, 0 of 3 BARs placed'],
          steps: ['AddZpci done', 'AddDevice done'],
        },
        { emulate: RNG_PCI, zpci: { uid: 3, fid: undefined } },
      ),
      detachAtOnce('d0', {
        removals: ['d0 pending', 'zpci_d0 pending'],
        steps: ASKED,
        pending: true,
      }),
      reset('DEVICE_DELETED d0'),
      detachAtOnce('d0', { removals: ['d0 unplugged', 'zpci_d0 unplugged'], steps: REMOVED }),
      attach(
        'd0',
        { attached: ['d0 on pci.0.0 at 0001:00:00.0, 0 of 3 BARs placed'], steps: ADDED },
        { emulate: RNG_PCI },
      ),
    ],
    events: [
      'RESET',
      'DEVICE_DELETED /machine/peripheral/d0/virtio-backend',
      'DEVICE_DELETED d0',
      'DEVICE_DELETED zpci_d0',
    ],
    leaves: ['d0'],
  },
];

/** @type {readonly import('./scenario.mjs').Scenario[]} */
export const machineScenarios = [
  ...pcScenarios,
  ...virtScenarios,
  ...channelScenarios,
  ...zpciScenarios,
];
