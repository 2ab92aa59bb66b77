import { known, unknown, type Known } from '../../known.js';
import { compareBdf, slotOf, toBdf, type Bdf } from '../../pci/pci-address.js';
import { parseResource } from '../../pci/resource.js';
import { readChildren, type Children } from '../children.js';
import { isBdfName } from '../class-devices.js';
import type { HostEffects } from '../effects.js';
import { readCdev } from '../cdev.js';
import { devicePath, listFunctions, readOverride } from '../pci-function.js';
import { listOrNone, mapBounded, readAttribute, readLinkName } from '../reading.js';
import { bareRecord } from './bare-record.js';
import { attempt, mapBoth, mapKnown } from './facts.js';
import { readMdevTypes, readMdevUuids } from './mdevs.js';
import { readPackages, readSlots, type Packages, type Slots } from './places.js';
import type { Companions, DeviceRecord, Link, SriovRole } from './record.js';
import { readSerials } from './serials.js';

export interface RecordOptions {
  /** Reads also what wakes a sleeping device, or is slow: serial numbers, the present link. */
  readonly deep?: boolean | undefined;
  /** Functions that are read; of the others only the address is told. Default all. */
  readonly only?: ((bdf: Bdf) => boolean) | undefined;
}

/** About 30 files are open per function. */
const FUNCTIONS_AT_ONCE = 12;

/**
 * Every PCI function with all that sysfs tells of it, in numeric order; one that vanishes while it is read
 * is left out. Nothing a device does not answer keeps the others from being told.
 *
 * @throws {HostIoError} only where /sys/bus/pci/devices itself cannot be read.
 */
export async function readRecords(
  effects: HostEffects,
  options: RecordOptions = {},
): Promise<ReadonlyMap<Bdf, DeviceRecord>> {
  const all = await listFunctions(effects);
  const [children, slots, packages] = await Promise.all([
    attempt(() => readChildren(effects)),
    attempt(() => readSlots(effects)),
    attempt(() => readPackages(effects)),
  ]);
  const shared = { all, children, slots, packages, deep: options.deep ?? false };
  const isWanted = options.only ?? (() => true);
  const records = await mapBounded(all, FUNCTIONS_AT_ONCE, async (bdf) =>
    isWanted(bdf) ? readRecord(effects, bdf, shared) : bareRecord(bdf, 'it was not asked for'),
  );
  return new Map(
    records.filter((record) => record !== undefined).map((record) => [record.bdf, record]),
  );
}

interface Shared {
  readonly all: readonly Bdf[];
  readonly children: Known<ReadonlyMap<Bdf, Children>>;
  readonly slots: Known<Slots>;
  readonly packages: Known<Packages>;
  readonly deep: boolean;
}

async function readRecord(
  effects: HostEffects,
  bdf: Bdf,
  shared: Shared,
): Promise<DeviceRecord | undefined> {
  const directory = devicePath(bdf);
  const listed = await attempt(() => listOrNone(effects, directory));
  if (listed.known && listed.value.length === 0) return undefined;
  const entries = new Set(listed.known ? listed.value : []);
  /** What the directory does not list is not there; what it could not list may be. */
  const has = (name: string) => !listed.known || entries.has(name);
  const text = (name: string) =>
    attempt(async () =>
      has(name.split('/')[0] ?? name) ? readAttribute(effects, `${directory}/${name}`) : undefined,
    );
  const link = (name: string) =>
    attempt(async () => (has(name) ? readLinkName(effects, `${directory}/${name}`) : undefined));

  const [vendorId, deviceId, classCode, driver, runtimeStatus] = await Promise.all([
    text('vendor'),
    text('device'),
    text('class'),
    link('driver'),
    text('power/runtime_status'),
  ]);
  const children = mapKnown(shared.children, (all) => all.get(bdf) ?? {});
  const localCpus = await text('local_cpulist');
  const iommuGroup = mapKnown(await link('iommu_group'), decimal);
  return {
    bdf,
    path: await readPath(effects, bdf),
    vendorId: required('vendor', mapKnown(vendorId, hexOf)),
    deviceId: required('device', mapKnown(deviceId, hexOf)),
    classCode: required('class', mapKnown(classCode, hexOf)),
    subsystemVendorId: mapKnown(await text('subsystem_vendor'), hexOf),
    subsystemDeviceId: mapKnown(await text('subsystem_device'), hexOf),
    revision: mapKnown(await text('revision'), hexOf),
    driver,
    driverOverride: await readOverride(effects, bdf),
    module: await attempt(async () =>
      has('driver') ? readLinkName(effects, `${directory}/driver/module`) : undefined,
    ),
    numaNode: mapKnown(await text('numa_node'), (value) => decimal(value) ?? -1),
    localCpus,
    socket: mapBoth(shared.packages, localCpus, (packages, cpus) => packages.of(cpus)),
    iommuGroup,
    slot: mapKnown(shared.slots, (slots) => slots.get(slotOf(bdf))),
    label: mapKnown(await text('label'), (value) => value?.trim() || undefined),
    acpiIndex: await readAcpiIndex(text),
    serials: await readSerialsOf(effects, bdf, { runtimeStatus, children, deep: shared.deep }),
    bars: mapKnown(await text('resource'), (value) => parseResource(value ?? '')),
    maxLink: await readLink(text, 'max'),
    currentLink: shared.deep
      ? await readLink(text, 'current')
      : unknown('it is read only when asked for, as that wakes a sleeping device'),
    runtimeStatus,
    resetMethods: mapKnown(await text('reset_method'), (value) =>
      (value ?? '').split(/\s+/).filter(Boolean),
    ),
    sriov: await readSriov(effects, bdf, { listed, text, link }),
    mdevTypes: await attempt(async () =>
      has('mdev_supported_types') ? readMdevTypes(effects, directory) : [],
    ),
    mdevs: mapKnown(listed, readMdevUuids),
    bootVga: mapKnown(await text('boot_vga'), (value) => value === '1'),
    vfioCdev: await attempt(async () => (has('vfio-dev') ? readCdev(effects, bdf) : undefined)),
    modalias: await text('modalias'),
    children,
    companions: await readCompanions(effects, bdf, { all: shared.all, listed, iommuGroup }),
  };
}

type ReadText = (name: string) => Promise<Known<string | undefined>>;

async function readPath(effects: HostEffects, bdf: Bdf): Promise<Known<string>> {
  const target = await attempt(() => effects.readlink(devicePath(bdf)));
  return mapKnown(target, (link) => `/sys/devices/${link.replace(/^.*?devices\//, '')}`);
}

async function readAcpiIndex(text: ReadText): Promise<Known<number | undefined>> {
  const index = mapKnown(await text('acpi_index'), decimal);
  return index.known && index.value === undefined ? mapKnown(await text('index'), decimal) : index;
}

async function readSerialsOf(
  effects: HostEffects,
  bdf: Bdf,
  seen: {
    runtimeStatus: Known<string | undefined>;
    children: Known<Children>;
    deep: boolean;
  },
): Promise<DeviceRecord['serials']> {
  const { children, runtimeStatus, deep } = seen;
  if (!children.known) return children;
  const status = runtimeStatus.known ? runtimeStatus.value : 'of unknown power state';
  return attempt(() =>
    readSerials(effects, bdf, { runtimeStatus: status, children: children.value, deep }),
  );
}

async function readLink(text: ReadText, which: 'max' | 'current'): Promise<Known<Link>> {
  const [speed, width] = await Promise.all([
    text(`${which}_link_speed`),
    text(`${which}_link_width`),
  ]);
  return mapBoth(speed, width, (speedText, widthText) => {
    const gigatransfers = /^(\d+(?:\.\d+)?) GT\/s/.exec(speedText ?? '')?.[1];
    const lanes = decimal(widthText);
    return {
      speed: gigatransfers === undefined ? undefined : Number(gigatransfers),
      // The kernel writes 0 or 255 for a link whose width it does not know.
      width: lanes === undefined || lanes === 0 || lanes === 255 ? undefined : lanes,
    };
  });
}

async function readSriov(
  effects: HostEffects,
  bdf: Bdf,
  seen: {
    listed: Known<readonly string[]>;
    text: ReadText;
    link: (name: string) => Promise<Known<string | undefined>>;
  },
): Promise<Known<SriovRole>> {
  const { listed, text, link } = seen;
  if (!listed.known) return listed;
  const [total, physfn] = await Promise.all([text('sriov_totalvfs'), link('physfn')]);
  if (!physfn.known) return physfn;
  if (physfn.value !== undefined && isBdfName(physfn.value)) {
    const pf = physfn.value;
    const index = await attempt(() => indexOfVf(effects, bdf, pf));
    return mapKnown(index, (value) => ({
      role: 'vf',
      physfn: pf,
      index: value,
      vfs: [],
      total: 0,
    }));
  }
  const links = listed.value.filter((name) => /^virtfn\d+$/.test(name));
  const targets = await Promise.all(links.map(link));
  const unread = targets.find((target) => !target.known);
  if (unread !== undefined && !unread.known) return unread;
  const vfs = targets
    .flatMap((target) => (target.known ? (target.value ?? []) : []))
    .filter(isBdfName)
    .sort(compareBdf);
  return mapKnown(total, (value) => {
    const most = decimal(value) ?? 0;
    const role = most > 0 || vfs.length > 0 ? 'pf' : 'none';
    return { role, physfn: undefined, index: undefined, vfs, total: most };
  });
}

/** The kernel numbers VFs on the PF's side alone. */
async function indexOfVf(effects: HostEffects, vf: Bdf, pf: Bdf): Promise<number | undefined> {
  const links = (await listOrNone(effects, devicePath(pf))).filter((name) =>
    /^virtfn\d+$/.test(name),
  );
  for (const name of links) {
    if ((await readLinkName(effects, `${devicePath(pf)}/${name}`)) === vf) {
      return Number(name.slice('virtfn'.length));
    }
  }
  return undefined;
}

async function readCompanions(
  effects: HostEffects,
  bdf: Bdf,
  seen: {
    all: readonly Bdf[];
    listed: Known<readonly string[]>;
    iommuGroup: Known<number | undefined>;
  },
): Promise<Known<Companions>> {
  const { all, listed, iommuGroup } = seen;
  if (!listed.known) return listed;
  if (!iommuGroup.known) return iommuGroup;
  const members = await attempt(async (): Promise<readonly string[]> =>
    iommuGroup.value === undefined
      ? []
      : listOrNone(effects, `/sys/kernel/iommu_groups/${iommuGroup.value}/devices`),
  );
  return mapKnown(members, (names) => ({
    slot: all.filter((other) => other !== bdf && slotOf(other) === slotOf(bdf)),
    consumers: listed.value
      .flatMap((name) => /^consumer:pci:(.+)$/.exec(name)?.[1] ?? [])
      .filter(isBdfName)
      .map(toBdf)
      .sort(compareBdf),
    group: names
      .filter(isBdfName)
      .filter((other) => other !== bdf)
      .sort(compareBdf),
  }));
}

function required(name: string, fact: Known<number | undefined>): Known<number> {
  if (!fact.known) return fact;
  return fact.value === undefined ? unknown(`${name} cannot be understood`) : known(fact.value);
}

function hexOf(text: string | undefined): number | undefined {
  return text !== undefined && /^0x[0-9a-f]+$/i.test(text) ? parseInt(text, 16) : undefined;
}

function decimal(text: string | undefined): number | undefined {
  return text !== undefined && /^-?\d+$/.test(text) ? parseInt(text, 10) : undefined;
}
