import type { ArgumentKind } from './argument-kinds.js';

/** What `device_add` may say for one driver. */
export interface DriverRule {
  /** Whether the device sits on a PCI bus and so must name `bus` and `addr`. */
  readonly isPci: boolean;
  readonly properties: Readonly<Record<string, ArgumentKind>>;
  /** Of each of these groups exactly one property must be given. */
  readonly exactlyOne: readonly (readonly string[])[];
  /** Properties that say which device of the host it is: one of them, and `fd` along with it or alone. */
  readonly hostDevice?: readonly string[];
}

type Properties = Readonly<Record<string, ArgumentKind>>;

/** Properties of every PCI device (QEMU hw/pci/pci.c, pci_props, 7.2 to 10.2). */
const PCI = {
  bus: 'bus',
  addr: 'pciAddr',
  multifunction: 'boolean',
  rombar: 'romBar',
  romfile: 'noRomFile',
  romsize: 'uint32',
  'acpi-index': 'uint32',
  failover_pair_id: 'id',
} as const satisfies Properties;

/**
 * hw/vfio/pci.c, 7.2 to 10.2. Left out on purpose: `x-req` (without it a host unbind hangs),
 * `x-balloon-allowed` (ballooning under DMA loses memory), the VGA and IGD switches (of no use
 * to a hot-plugged device) and what opens files.
 */
const VFIO_PCI = {
  host: 'pciHost',
  sysfsdev: 'sysfsDevice',
  fd: 'fdName',
  iommufd: 'id',
  display: 'onOffAuto',
  xres: 'uint32',
  yres: 'uint32',
  bootindex: 'bootIndex',
  'vf-token': 'uuid',
  'enable-migration': 'onOffAuto',
  'x-enable-migration': 'boolean',
  'migration-events': 'boolean',
  'x-no-mmap': 'boolean',
  'x-no-kvm-intx': 'boolean',
  'x-no-kvm-msi': 'boolean',
  'x-no-kvm-msix': 'boolean',
  'x-no-kvm-ioeventfd': 'boolean',
  'x-no-vfio-ioeventfd': 'boolean',
  'x-no-geforce-quirks': 'boolean',
  'x-pci-vendor-id': 'uint32',
  'x-pci-device-id': 'uint32',
  'x-pci-sub-vendor-id': 'uint32',
  'x-pci-sub-device-id': 'uint32',
  'x-nv-gpudirect-clique': 'uint8',
} as const satisfies Properties;

const BRIDGE_RESERVES = {
  'bus-reserve': 'uint32',
  'io-reserve': 'size',
  'mem-reserve': 'size',
  'pref32-reserve': 'size',
  'pref64-reserve': 'size',
} as const satisfies Properties;

const PCIE_PORT = {
  chassis: 'uint8',
  slot: 'uint8',
  port: 'uint8',
  hotplug: 'boolean',
  power_controller_present: 'boolean',
} as const satisfies Properties;

const ROOT_PORT = { ...PCIE_PORT, 'disable-acs': 'boolean' } as const satisfies Properties;

const LINK = { 'x-speed': 'linkSpeed', 'x-width': 'linkWidth' } as const satisfies Properties;

const NIC = { netdev: 'id', mac: 'mac', bootindex: 'bootIndex' } as const satisfies Properties;

const NVME = {
  serial: 'label',
  drive: 'name',
  bootindex: 'bootIndex',
  max_ioqpairs: 'uint16',
  msix_qsize: 'uint16',
  mdts: 'uint8',
  sriov_max_vfs: 'uint8',
  sriov_vq_flexible: 'uint16',
  sriov_vi_flexible: 'uint16',
} as const satisfies Properties;

/** By the middle of the name: `virtio-<this>-pci`, `virtio-<this>-ccw`. None names a host file. */
const VIRTIO_FAMILIES = {
  balloon: { 'deflate-on-oom': 'boolean', 'free-page-reporting': 'boolean' },
  blk: { drive: 'name', serial: 'label', bootindex: 'bootIndex', 'num-queues': 'uint16' },
  gpu: { max_outputs: 'uint8', xres: 'uint32', yres: 'uint32' },
  keyboard: {},
  mouse: {},
  net: { ...NIC, mq: 'boolean' },
  rng: { rng: 'id', 'max-bytes': 'uint64', period: 'uint32' },
  scsi: { num_queues: 'uint32', iothread: 'id' },
  serial: { max_ports: 'uint32' },
  tablet: {},
} as const satisfies Readonly<Record<string, Properties>>;

const VIRTIO = {
  iommu_platform: 'boolean',
  packed: 'boolean',
  event_idx: 'boolean',
  indirect_desc: 'boolean',
} as const satisfies Properties;

const VIRTIO_PCI = {
  ...VIRTIO,
  'disable-legacy': 'onOffAuto',
  'disable-modern': 'boolean',
  ats: 'boolean',
} as const satisfies Properties;

const CCW = { bus: 'bus', devno: 'devno' } as const satisfies Properties;

const pci = (properties: Properties, exactlyOne: DriverRule['exactlyOne'] = []): DriverRule => ({
  isPci: true,
  properties: { ...PCI, ...properties },
  exactlyOne: [['bus'], ['addr'], ...exactlyOne],
});

const other = (properties: Properties, exactlyOne: DriverRule['exactlyOne'] = []): DriverRule => ({
  isPci: false,
  properties,
  exactlyOne,
});

function* virtioRules(): Generator<[string, DriverRule]> {
  for (const [family, properties] of Object.entries(VIRTIO_FAMILIES)) {
    yield [`virtio-${family}-pci`, pci({ ...VIRTIO_PCI, ...properties })];
    yield [`virtio-${family}-ccw`, other({ ...CCW, ...VIRTIO, ...properties })];
  }
}

/**
 * Every driver that may be added, with every property that may be set. Besides VFIO these are
 * ports and bridges, and emulated devices for practice.
 */
export const DRIVER_RULES: ReadonlyMap<string, DriverRule> = new Map<string, DriverRule>([
  ['vfio-pci', { ...pci(VFIO_PCI), hostDevice: ['host', 'sysfsdev'] }],
  ['vfio-user-pci', pci({ socket: 'unixSocket', bootindex: 'bootIndex' }, [['socket']])],
  [
    'vfio-ccw',
    {
      ...other({
        ...CCW,
        sysfsdev: 'sysfsDevice',
        fd: 'fdName',
        iommufd: 'id',
        'force-orb-pfch': 'boolean',
        loadparm: 'label',
        bootindex: 'bootIndex',
      }),
      hostDevice: ['sysfsdev'],
    },
  ],
  [
    'vfio-ap',
    {
      ...other({ sysfsdev: 'sysfsDevice', fd: 'fdName', iommufd: 'id' }),
      hostDevice: ['sysfsdev'],
    },
  ],
  [
    'zpci',
    other({ uid: 'uint16', fid: 'uint32', target: 'id', interpret: 'boolean' }, [['target']]),
  ],
  ['pcie-root-port', pci({ ...ROOT_PORT, ...BRIDGE_RESERVES, ...LINK })],
  ['ioh3420', pci(ROOT_PORT)],
  ['x3130-upstream', pci({ port: 'uint8' })],
  ['xio3130-downstream', pci(PCIE_PORT)],
  ['pcie-pci-bridge', pci({ msi: 'onOffAuto' })],
  [
    'pci-bridge',
    pci({ ...BRIDGE_RESERVES, chassis_nr: 'uint8', shpc: 'boolean', msi: 'onOffAuto' }),
  ],
  ['pci-testdev', pci({ membar: 'barSize' })],
  ['edu', pci({ dma_mask: 'uint64' })],
  ['e1000', pci(NIC)],
  ['e1000e', pci(NIC)],
  ['igb', pci(NIC)],
  ['rtl8139', pci(NIC)],
  ['nvme', pci(NVME)],
  ['qemu-xhci', pci({ p2: 'uint32', p3: 'uint32' })],
  ...virtioRules(),
]);
