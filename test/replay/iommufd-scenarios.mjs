// Devices of a host whose kernel has iommufd: by their own nodes, by descriptors, and by their group.

/** The devices of the lab's host that these go through, as its kernel sees them. */
const RNG = '0000:00:05.0';
const TESTDEV = '0000:00:06.0';

/** @type {import('./scenario.mjs').Scenario['host']} */
const HOST = [
  {
    bdf: RNG,
    group: 3,
    vendorId: 0x1af4,
    deviceId: 0x1044,
    classCode: 0x00ff00,
    nativeDriver: 'virtio-pci',
  },
  { bdf: TESTDEV, group: 4, vendorId: 0x1b36, deviceId: 0x0005, classCode: 0x00ff00 },
];

const ADDED = ['ReserveGroup done', 'BindDriver done', 'GrantAccess done'];
const REMOVED = ['RemoveDevice done', 'AwaitRemoval done'];
const RELEASED = [
  'RevokeAccess done',
  'RestoreDriver done',
  'ReleaseGroup done',
  'ForgetAttachment done',
];

/**
 * @param {string} device
 * @param {string} place
 * @param {{ object?: boolean, route?: import('../../src/index.js').AttachHostDevice['route'] }} how
 * @returns {import('./scenario.mjs').Step}
 */
const attach = (device, place, { object = true, route = 'auto' }) => ({
  do: 'attach',
  request: { device, route },
  yields: {
    attached: [place],
    steps: [...ADDED, ...(object ? ['AddIommufd done'] : []), 'AddDevice done'],
  },
});

/**
 * @param {string} device
 * @param {string} id
 * @param {{ object?: boolean }} [how]
 * @returns {import('./scenario.mjs').Step}
 */
const detach = (device, id, { object = true } = {}) => ({
  do: 'detach',
  what: device,
  until: `DEVICE_DELETED ${id}`,
  yields: {
    removals: [`${id} released`],
    steps: [...REMOVED, ...(object ? ['RemoveIommufd done'] : []), ...RELEASED],
  },
});

/** @type {Pick<import('./scenario.mjs').Scenario, 'machine' | 'host' | 'iommufd' | 'not'>} */
const LAB = {
  machine: { ports: ['rp0', 'rp1'], hotplug: 'native' },
  host: HOST,
  iommufd: true,
  not: ['5.2', '7.2'],
};

/** @type {readonly import('./scenario.mjs').Scenario[]} */
export const iommufdScenarios = [
  {
    ...LAB,
    name: 'iommufd-shared',
    shows:
      'devices of the host share one object, which comes with the first and goes with the last',
    steps: [
      attach(RNG, 'vfio_device_3_0 on rp0', {}),
      attach(TESTDEV, 'vfio_device_4_0 on rp1', {}),
      detach(RNG, 'vfio_device_3_0'),
      detach(TESTDEV, 'vfio_device_4_0'),
    ],
    events: ['DEVICE_DELETED vfio_device_3_0', 'DEVICE_DELETED vfio_device_4_0'],
    leaves: [],
  },
  {
    ...LAB,
    name: 'iommufd-descriptors',
    shows: 'QEMU is handed the nodes open, and opens nothing itself',
    steps: [
      attach(RNG, 'vfio_device_3_0 on rp0', { route: 'descriptors' }),
      detach(RNG, 'vfio_device_3_0'),
    ],
    events: ['DEVICE_DELETED vfio_device_3_0'],
    leaves: [],
  },
  {
    ...LAB,
    name: 'iommufd-descriptors-undone',
    shows: 'what was handed over for a device that could not be added is taken back',
    // 10.0 takes the device's node up first and closes it with its own end.
    not: ['5.2', '7.2', '10.0'],
    steps: [
      {
        do: 'attach',
        request: { device: RNG, route: 'descriptors' },
        between: {
          at: 'do AddDevice before-intent',
          command: 'device_add',
          arguments: { driver: 'pci-testdev', id: 'other', bus: 'rp0', addr: '0x0' },
        },
        yields: {
          error: 'STEP_FAILED',
          because: 'slot-occupied',
          steps: [
            'ReserveGroup undone',
            'BindDriver undone',
            'GrantAccess undone',
            'AddIommufd undone',
            'AddDevice undone',
          ],
        },
      },
    ],
    events: [],
    leaves: ['other'],
  },
  {
    ...LAB,
    name: 'iommufd-group',
    shows: 'a device goes by its group where that is asked for, and the next one follows it',
    // On 10.0 the controller looks again before the event comes; that it does depends on the host, and replays do not.
    not: ['5.2', '7.2', '10.0'],
    steps: [
      attach(TESTDEV, 'vfio_device_4_0 on rp0', { object: false, route: 'group' }),
      attach(RNG, 'vfio_device_3_0 on rp1', { object: false }),
      detach(TESTDEV, 'vfio_device_4_0', { object: false }),
      detach(RNG, 'vfio_device_3_0', { object: false }),
    ],
    events: ['DEVICE_DELETED vfio_device_4_0', 'DEVICE_DELETED vfio_device_3_0'],
    leaves: [],
  },
];
