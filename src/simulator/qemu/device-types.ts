import type { JsonValue } from '../../json.js';
import { propertyList, type PropertySpec } from './properties.js';
import type { ReleaseName } from './releases.js';

/** Where a type may sit and what it offers. */
export type DeviceKind =
  'endpoint' | 'root-port' | 'upstream-port' | 'downstream-port' | 'pci-bridge' | 'host-bridge';

/** A base address register of a QEMU device. */
export interface RegionSpec {
  readonly bar: number;
  readonly type: 'memory' | 'io';
  readonly sizeBytes: bigint;
  readonly prefetch: boolean;
  readonly is64bit: boolean;
}

/** A qdev type of the simulated binary. */
export interface DeviceType {
  readonly name: string;
  readonly kind: DeviceKind;
  readonly vendorId: number;
  readonly deviceId: number;
  readonly classCode: number;
  readonly classText?: string;
  /** Left out on bridges, which have no such registers in a type 1 header. */
  readonly subsystem?: readonly [vendor: number, device: number];
  readonly irqPin: number;
  readonly properties: readonly PropertySpec[];
  readonly regions: (properties: ReadonlyMap<string, JsonValue>) => readonly RegionSpec[];
  /** What else a virtio device is where drivers from before version 1.0 of its standard may use it. */
  readonly transitional?: {
    readonly deviceId: number;
    readonly subsystem: readonly [vendor: number, device: number];
    readonly region: RegionSpec;
  };
  /** Values of properties that have no default in the tables. */
  readonly initialValues?: Readonly<Record<string, JsonValue>>;
  /** A qdev object inside, which gets a DEVICE_DELETED of its own. */
  readonly inner?: { readonly name: string; readonly type: string };
  /** A bus inside that is not PCI and has the device's own id for a name (hw/nvme/ctrl.c, 7.2 to 10.0). */
  readonly innerBus?: string;
  /** False for types that can only come with the machine. */
  readonly hotpluggable?: boolean;
  /** The BAR of the option ROM that it comes with, where `romfile` names no other. */
  readonly optionRom?: RegionSpec;
}

/** Of every PCI device; `device-list-properties` of 7.2.22. */
const PCI = propertyList(`
  failover_pair_id:str romfile:str addr:int32=-1 romsize:uint32=4294967295
  x-pcie-lnksta-dllla:bool=true rombar:uint32=1 x-pcie-extcap-init:bool=true acpi-index:uint32=0
  multifunction:bool=false`);

/** The automatic setting got a value of its own. */
const PCI_BY_RELEASE = {
  '7.2.22': PCI,
  '10.0.13': PCI.map((spec) =>
    spec.name === 'rombar' ? { ...spec, type: 'int32', defaultValue: -1 } : spec,
  ),
} as const satisfies Record<ReleaseName, readonly PropertySpec[]>;

const RESERVES = `
  mem-reserve:size=18446744073709551615 pref64-reserve:size=18446744073709551615
  bus-reserve:uint32=4294967295 io-reserve:size=18446744073709551615
  pref32-reserve:size=18446744073709551615`;

const SLOT = `
  port:uint8=0 aer_log_max:uint16=8 hotplug:bool=true x-native-hotplug:bool=true slot:uint16=0
  chassis:uint8=0 power_controller_present:bool=true`;

const VFIO = `
  x-no-kvm-msix:bool=false yres:uint32=0 x-vga:bool=false x-pre-copy-dirty-page-tracking:OnOffAuto="on"
  x-nv-gpudirect-clique:uint4 x-msix-relocation:OffAutoPCIBAR="off" x-no-vfio-ioeventfd:bool=false
  sysfsdev:str host:str x-pci-device-id:uint32=4294967295 x-no-kvm-msi:bool=false
  x-pci-sub-vendor-id:uint32=4294967295 x-no-geforce-quirks:bool=false x-req:bool=true
  x-igd-gms:uint32=0 x-intx-mmap-timeout-ms:uint32=1100 x-no-kvm-intx:bool=false
  x-no-kvm-ioeventfd:bool=false x-pci-sub-device-id:uint32=4294967295 display:OnOffAuto="off"
  x-igd-opregion:bool=false x-pci-vendor-id:uint32=4294967295 xres:uint32=0 x-no-mmap:bool=false
  x-balloon-allowed:bool=false bootindex:int32`;

/** What vfio-pci gained, by release. Source: hw/vfio/pci.c, vfio_pci_dev_properties. */
const VFIO_BY_RELEASE: Readonly<Record<ReleaseName, string>> = {
  '7.2.22': 'x-enable-migration:bool=false',
  '10.0.13': `enable-migration:OnOffAuto="auto" vf-token:str migration-events:bool=false
    skip-vsc-check:bool=true x-device-dirty-page-tracking:OnOffAuto="on" iommufd:link<iommufd>
    fd:str x-igd-legacy-mode:OnOffAuto="auto" x-igd-lpc:bool=false
    x-migration-multifd-transfer:OnOffAuto="auto"`,
};

const VIRTIO = `
  migrate-extra:bool=true ats:bool=false x-ignore-backend-features:bool=false
  x-pcie-pm-init:bool=true aer:bool=false x-pcie-flr-init:bool=true x-pcie-lnkctl-init:bool=true
  x-ats-page-aligned:bool=true page-per-vq:bool=false x-pcie-deverr-init:bool=true
  virtio-pci-bus-master-bug-migration:bool=false modern-pio-notify:bool=false
  x-disable-pcie:bool=false vectors:uint32=4294967295 ioeventfd:bool=true
  disable-legacy:OnOffAuto="auto" disable-modern:bool=false x-disable-legacy-check:bool=false
  queue_reset:bool=true use-disabled-flag:bool=true packed:bool=false iommu_platform:bool=false
  event_idx:bool=true period:uint32=65536 notify_on_empty:bool=true
  max-bytes:uint64=9223372036854775807 any_layout:bool=true use-started:bool=true
  rng:link<rng-backend> indirect_desc:bool=true`;

const NVME = `
  share-rw:bool=false mdts:uint8=7 cmb_size_mb:uint32=0 account-invalid:OnOffAuto="auto" aerl:uint8=3
  serial:str use-intel-id:bool=false min_io_size:size=0 drive:str sriov_vq_flexible:uint16=0
  zoned.zasl:uint8=0 num_queues:uint32=0 zoned.auto_transition:bool=true
  write-cache:OnOffAuto="auto" ioeventfd:bool=false physical_block_size:size=0
  max_ioqpairs:uint32=64 opt_io_size:size=0 logical_block_size:size=0 msix_qsize:uint16=65
  sriov_max_vq_per_vf:uint8=0 subsys:link<nvme-subsys> pmrdev:link<memory-backend>
  discard_granularity:size=4294967295 msix-exclusive-bar:bool=false sriov_max_vi_per_vf:uint8=0
  sriov_max_vfs:uint8=0 aer_max_queued:uint32=64 account-failed:OnOffAuto="auto"
  sriov_vi_flexible:uint16=0 vsl:uint8=7 backend_defaults:OnOffAuto="auto"
  smart_critical_warning:uint8 bootindex:int32`;

const E1000E = `
  subsys:uint16=0 subsys_ven:uint16=32902 netdev:str init-vet:bool=true disable_vnet_hdr:uint8=0
  mac:str bootindex:int32`;

const memory = (bar: number, sizeBytes: number, more: Partial<RegionSpec> = {}): RegionSpec => ({
  bar,
  type: 'memory',
  sizeBytes: BigInt(sizeBytes),
  prefetch: false,
  is64bit: false,
  ...more,
});

const io = (bar: number, sizeBytes: number): RegionSpec => ({
  bar,
  type: 'io',
  sizeBytes: BigInt(sizeBytes),
  prefetch: false,
  is64bit: false,
});

/** Red Hat's and QEMU's own subsystem ids. */
const QUMRANET = [0x1af4, 0x1100] as const;
const BRIDGE = { classCode: 0x0604, classText: 'PCI bridge' } as const;

/** The tables below hold numbers, `membar` may be a bigint. */
const toBigInt = (value: JsonValue | undefined): bigint =>
  typeof value === 'number' || typeof value === 'bigint' ? BigInt(value) : 0n;

const TYPES: readonly DeviceType[] = [
  {
    ...BRIDGE,
    name: 'pcie-root-port',
    kind: 'root-port',
    vendorId: 0x1b36,
    deviceId: 0x000c,
    irqPin: 1,
    properties: propertyList(`${SLOT} disable-acs:bool=false ${RESERVES}
      x-width:PCIELinkWidth="32" x-migrate-msix:bool=true x-speed:PCIELinkSpeed="16"`),
    regions: () => [memory(0, 0x1000)],
  },
  {
    ...BRIDGE,
    name: 'ioh3420',
    kind: 'root-port',
    vendorId: 0x8086,
    deviceId: 0x3420,
    irqPin: 1,
    properties: propertyList(`${SLOT} disable-acs:bool=false`),
    regions: () => [],
  },
  {
    ...BRIDGE,
    name: 'x3130-upstream',
    kind: 'upstream-port',
    vendorId: 0x104c,
    deviceId: 0x8232,
    irqPin: 0,
    properties: propertyList('port:uint8=0 aer_log_max:uint16=8'),
    regions: () => [],
  },
  {
    ...BRIDGE,
    name: 'xio3130-downstream',
    kind: 'downstream-port',
    vendorId: 0x104c,
    deviceId: 0x8233,
    irqPin: 0,
    properties: propertyList(SLOT),
    regions: () => [],
  },
  {
    ...BRIDGE,
    name: 'pci-bridge',
    kind: 'pci-bridge',
    vendorId: 0x1b36,
    deviceId: 0x0001,
    irqPin: 1,
    properties: propertyList(`chassis_nr:uint8=0 ${RESERVES} msi:OnOffAuto="auto" shpc:bool=true`),
    regions: () => [memory(0, 0x100, { is64bit: true })],
  },
  {
    ...BRIDGE,
    name: 'pcie-pci-bridge',
    kind: 'pci-bridge',
    vendorId: 0x1b36,
    deviceId: 0x000e,
    irqPin: 1,
    properties: propertyList('msi:OnOffAuto="auto"'),
    regions: () => [memory(0, 0x100, { is64bit: true })],
  },
  {
    name: 'pxb-pcie',
    kind: 'host-bridge',
    vendorId: 0x1b36,
    deviceId: 0x000b,
    classCode: 0x0600,
    classText: 'Host bridge',
    subsystem: QUMRANET,
    irqPin: 0,
    properties: propertyList('bypass_iommu:bool=false bus_nr:uint8=0 numa_node:uint16=128'),
    regions: () => [],
    hotpluggable: false,
  },
  {
    name: 'pci-testdev',
    kind: 'endpoint',
    vendorId: 0x1b36,
    deviceId: 0x0005,
    classCode: 0x00ff,
    subsystem: QUMRANET,
    irqPin: 0,
    properties: propertyList('membar:size=0'),
    regions: (properties) => {
      const size = toBigInt(properties.get('membar'));
      const large = { bar: 2, type: 'memory', prefetch: true, is64bit: true } as const;
      return [
        memory(0, 0x1000),
        io(1, 0x100),
        ...(size > 0n ? [{ ...large, sizeBytes: size }] : []),
      ];
    },
  },
  {
    name: 'edu',
    kind: 'endpoint',
    vendorId: 0x1234,
    deviceId: 0x11e8,
    classCode: 0x00ff,
    subsystem: QUMRANET,
    irqPin: 1,
    properties: propertyList('dma_mask:uint64'),
    regions: () => [memory(0, 0x100000)],
    initialValues: { dma_mask: 0xfff_ffff },
  },
  {
    name: 'virtio-rng-pci',
    kind: 'endpoint',
    vendorId: 0x1af4,
    deviceId: 0x1044,
    classCode: 0x00ff,
    subsystem: QUMRANET,
    transitional: { deviceId: 0x1005, subsystem: [0x1af4, 4], region: io(0, 32) },
    irqPin: 1,
    properties: propertyList(VIRTIO),
    regions: () => [memory(1, 0x1000), memory(4, 0x4000, { prefetch: true, is64bit: true })],
    inner: { name: 'virtio-backend', type: 'virtio-rng-device' },
  },
  {
    name: 'e1000e',
    kind: 'endpoint',
    vendorId: 0x8086,
    deviceId: 0x10d3,
    classCode: 0x0200,
    classText: 'Ethernet controller',
    subsystem: [0x8086, 0],
    irqPin: 1,
    properties: propertyList(E1000E),
    optionRom: memory(6, 0x40000),
    regions: () => [memory(0, 0x20000), memory(1, 0x20000), io(2, 0x20), memory(3, 0x4000)],
  },
  {
    name: 'nvme',
    kind: 'endpoint',
    vendorId: 0x1b36,
    deviceId: 0x0010,
    classCode: 0x0108,
    subsystem: QUMRANET,
    irqPin: 1,
    properties: propertyList(NVME),
    regions: () => [memory(0, 0x4000, { is64bit: true })],
    innerBus: 'nvme-bus',
  },
  {
    name: 'vfio-pci',
    kind: 'endpoint',
    // Identity and regions of a vfio-pci come from the function behind it.
    vendorId: 0,
    deviceId: 0,
    classCode: 0,
    irqPin: 1,
    properties: propertyList(VFIO),
    regions: () => [],
  },
  {
    name: 'vfio-pci-nohotplug',
    kind: 'endpoint',
    vendorId: 0,
    deviceId: 0,
    classCode: 0,
    irqPin: 1,
    properties: propertyList(`${VFIO} ramfb:bool=false`),
    regions: () => [],
    hotpluggable: false,
  },
];

/** Types that exist but sit on no PCI bus, with the bus they need. */
export const FOREIGN_TYPES: ReadonlyMap<string, string> = new Map([
  ['virtio-rng-device', 'virtio-bus'],
  ['isa-serial', 'ISA'],
]);

const BY_NAME = new Map(TYPES.map((type) => [type.name, type]));

/** The type as the release has it, with the properties that every PCI device has. */
export function deviceType(name: string, release: ReleaseName): DeviceType | undefined {
  const type = BY_NAME.get(name);
  if (type === undefined) return undefined;
  const more = name.startsWith('vfio-pci') ? propertyList(VFIO_BY_RELEASE[release]) : [];
  return { ...type, properties: [...PCI_BY_RELEASE[release], ...type.properties, ...more] };
}
