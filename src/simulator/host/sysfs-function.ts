import { parseBdf } from '../../pci/pci-address.js';
import { configSpace } from './config-space.js';
import { isVfioDriver } from './drivers.js';
import { KernelError } from './errno.js';
import type { Kernel } from './kernel.js';
import {
  control,
  directory,
  file,
  fixedTree,
  link,
  listing,
  merge,
  setting,
  tabled,
  type DirectoryNode,
  type EntryTable,
  type Node,
} from './node-tree.js';
import { setVgpuType } from './vgpu.js';
import { resourceText, type PciFunction } from './pci-function.js';
import { sysfsBoolean, sysfsNumber, sysfsText } from './sysfs-text.js';

interface Subject {
  readonly kernel: Kernel;
  readonly fn: PciFunction;
}

const hex = (value: number, width: number) => `0x${value.toString(16).padStart(width, '0')}\n`;

/** `/sys/devices/pci<domain>:<bus>/<bridge>/.../<function>`: where the links under /sys/bus lead. */
export function functionPath(kernel: Kernel, fn: PciFunction): string {
  const path = [...kernel.table.pathTo(fn), fn.bdf];
  const { domain, bus } = parseBdf(path[0] ?? fn.bdf);
  const root = `pci${domain.toString(16).padStart(4, '0')}:${bus.toString(16).padStart(2, '0')}`;
  return `/sys/devices/${root}/${path.join('/')}`;
}

/** One function's directory, with the functions below it when it is a bridge. */
export function functionDirectory(kernel: Kernel, fn: PciFunction): DirectoryNode {
  const trees = [tabled(ATTRIBUTES, { kernel, fn }), virtualFunctions(fn), children(fn)];
  const below = listing(
    () => kernel.functions.filter((other) => isBelow(kernel, other, fn)).map(({ bdf }) => bdf),
    (name) => {
      const child = kernel.find(name);
      return child && isBelow(kernel, child, fn) ? functionDirectory(kernel, child) : undefined;
    },
  );
  return merge([...trees, below, fixedTree(fn.config.files ?? {})]);
}

function isBelow(kernel: Kernel, child: PciFunction, bridge: PciFunction): boolean {
  return kernel.table.pathTo(child).at(-1) === bridge.bdf;
}

/** A link from the function's directory to somewhere under /sys. */
function toSys({ kernel, fn }: Subject, target: string): Node {
  const up = '../'.repeat(functionPath(kernel, fn).split('/').length - 2);
  return link(up + target);
}

/** A read-only attribute. */
const fixed = (text: (fn: PciFunction) => string) => (subject: Subject) =>
  file(() => text(subject.fn));

const ATTRIBUTES: EntryTable<Subject> = {
  vendor: fixed(({ config }) => hex(config.vendorId, 4)),
  device: fixed(({ config }) => hex(config.deviceId, 4)),
  subsystem_vendor: fixed(({ config }) => hex(config.subsystemVendorId ?? config.vendorId, 4)),
  subsystem_device: fixed(({ config }) => hex(config.subsystemDeviceId ?? 0, 4)),
  class: fixed(({ config }) => hex(config.classCode, 6)),
  revision: fixed(({ config }) => hex(config.revision ?? 0, 2)),
  numa_node: fixed(({ config }) => `${config.numaNode ?? -1}\n`),
  local_cpulist: fixed(() => '0-1\n'),
  modalias: fixed((fn) => `${modalias(fn)}\n`),
  resource: fixed(resourceText),
  config: ({ fn }) => file(() => configSpace(fn)),
  power_state: fixed(() => 'D0\n'),
  uevent: fixed(({ bdf }) => `PCI_SLOT_NAME=${bdf}\n`),
  boot_vga: ({ fn: { config } }) =>
    config.classCode >>> 8 === 0x0300
      ? file(() => (config.bootVga === true ? '1\n' : '0\n'))
      : undefined,

  subsystem: (subject) => toSys(subject, 'bus/pci'),
  driver: (subject) =>
    subject.fn.driver === undefined
      ? undefined
      : toSys(subject, `bus/pci/drivers/${subject.fn.driver}`),
  iommu_group: (subject) => {
    const { group } = subject.fn.config;
    return group === undefined || subject.kernel.config.iommu === 'none'
      ? undefined
      : toSys(subject, `kernel/iommu_groups/${group}`);
  },
  physfn: ({ fn }) => (fn.physfn === undefined ? undefined : link(`../${fn.physfn}`)),
  'vfio-dev': vfioDev,
  nvidia: nvidiaDirectory,

  driver_override: ({ kernel, fn }) =>
    setting(
      () => kernel.driverCore.overrideText(fn),
      (data) => kernel.driverCore.setOverride(fn, data),
    ),
  remove: ({ kernel, fn }) =>
    control((data) => (sysfsNumber(data) === 0n ? undefined : kernel.remove(fn))),
  reset: ({ fn }) =>
    (fn.config.resetMethods ?? []).length === 0
      ? undefined
      : control((data) => {
          if (sysfsNumber(data) !== 1n) throw new KernelError('EINVAL');
          return fn.lock.run(() => undefined);
        }),
  rescan: () => control(() => undefined),
  reset_method: ({ fn }) =>
    (fn.config.resetMethods ?? []).length > 0 ? resetMethod(fn) : undefined,
  d3cold_allowed: ({ fn: { settings } }) =>
    setting(
      () => `${settings.d3coldAllowed}\n`,
      (data) => {
        settings.d3coldAllowed = sysfsNumber(data) === 0n ? '0' : '1';
      },
    ),
  power: ({ fn: { settings } }) =>
    directory({
      control: () =>
        setting(
          () => `${settings.powerControl}\n`,
          (data) => {
            settings.powerControl = oneOf(data, ['on', 'auto']);
          },
        ),
      runtime_status: () => file(() => 'active\n'),
    }),

  sriov_totalvfs: ({ fn: { sriov } }) => sriov && file(() => `${sriov.config.totalVfs}\n`),
  sriov_vf_device: ({ fn: { sriov } }) =>
    sriov && file(() => `${sriov.config.vfDeviceId.toString(16)}\n`),
  sriov_offset: ({ fn: { sriov } }) => sriov && file(() => `${sriov.config.offset ?? 128}\n`),
  sriov_stride: ({ fn: { sriov } }) => sriov && file(() => `${sriov.config.stride ?? 2}\n`),
  sriov_numvfs: ({ kernel, fn }) => {
    const { sriov } = fn;
    if (sriov === undefined) return undefined;
    return setting(
      () => `${sriov.numVfs}\n`,
      (data) => kernel.virtualFunctions.setNumber(fn, data),
    );
  },
  sriov_drivers_autoprobe: ({ fn: { sriov } }) =>
    sriov &&
    setting(
      () => `${sriov.autoprobe ? 1 : 0}\n`,
      (data) => {
        sriov.autoprobe = sysfsBoolean(data);
      },
    ),
};

/** What NVIDIA's driver adds to a VF that can become a vGPU. */
function nvidiaDirectory({ kernel, fn }: Subject): Node | undefined {
  const types = fn.config.vgpuTypes;
  if (types === undefined || fn.driver !== 'nvidia') return undefined;
  const lines = () =>
    fn.vgpuType === '0' ? Object.entries(types).map(([id, name]) => `${id} : ${name}\n`) : [];
  return directory({
    creatable_vgpu_types: () => file(() => `ID : vGPU Name\n${lines().join('')}`),
    current_vgpu_type: () =>
      setting(
        () => `${fn.vgpuType}\n`,
        (data) => {
          setVgpuType(fn, data, { drivers: kernel.driverCore, vfio: kernel.vfio });
        },
      ),
  });
}

/** The directory exists without a cdev too; only `dev` inside it proves one. */
function vfioDev({ kernel, fn }: Subject): Node | undefined {
  const { vfioIndex } = fn;
  if (vfioIndex === undefined || !isVfioDriver(fn.driver)) return undefined;
  const node = kernel.vfio.cdevNodes.get(vfioIndex);
  const inside = node ? { dev: () => file(() => `${node.major}:${node.minor}\n`) } : {};
  return directory({ [`vfio${vfioIndex}`]: () => directory(inside) });
}

function resetMethod({ config, settings }: PciFunction): Node {
  const methods = config.resetMethods ?? [];
  return setting(
    () => `${settings.resetMethod}\n`,
    (data) => {
      const text = sysfsText(data);
      const wanted = text === 'default' ? [...methods] : text.split(' ').filter(Boolean);
      if (!wanted.every((method) => methods.includes(method))) throw new KernelError('EINVAL');
      settings.resetMethod = wanted.join(' ');
    },
  );
}

/** @throws {KernelError} `EINVAL` */
function oneOf(data: string, values: readonly string[]): string {
  const text = sysfsText(data);
  if (!values.includes(text)) throw new KernelError('EINVAL');
  return text;
}

function modalias({ config }: PciFunction): string {
  const upper = (value: number, width: number) =>
    value.toString(16).toUpperCase().padStart(width, '0');
  const { vendorId, deviceId, subsystemVendorId, subsystemDeviceId, classCode } = config;
  return (
    `pci:v${upper(vendorId, 8)}d${upper(deviceId, 8)}` +
    `sv${upper(subsystemVendorId ?? vendorId, 8)}sd${upper(subsystemDeviceId ?? 0, 8)}` +
    `bc${upper(classCode >>> 16, 2)}sc${upper((classCode >>> 8) & 0xff, 2)}` +
    `i${upper(classCode & 0xff, 2)}`
  );
}

function virtualFunctions({ virtfns }: PciFunction): DirectoryNode {
  return listing(
    () => virtfns.map((_, index) => `virtfn${index}`),
    (name) => {
      const bdf = virtfns.find((_, index) => name === `virtfn${index}`);
      return bdf === undefined ? undefined : link(`../${bdf}`);
    },
  );
}

const onNativeDriver = ({ driver, config }: PciFunction) =>
  driver !== undefined && driver === config.nativeDriver;

/** Network interfaces that the native driver makes of the function. */
export function netdevsOf(fn: PciFunction): readonly string[] {
  return onNativeDriver(fn) ? (fn.config.netdevs ?? []) : [];
}

/** Block devices that the native driver makes of the function. */
export function disksOf(fn: PciFunction): readonly string[] {
  return onNativeDriver(fn) ? Object.keys(fn.config.disks ?? {}) : [];
}

function children(fn: PciFunction): DirectoryNode {
  const table: Record<string, () => Node> = {};
  if (netdevsOf(fn).length > 0) {
    table.net = () =>
      listing(
        () => netdevsOf(fn),
        (name) => (netdevsOf(fn).includes(name) ? netdev() : undefined),
      );
  }
  if (disksOf(fn).length > 0) {
    table.block = () =>
      listing(
        () => disksOf(fn),
        (name) => (disksOf(fn).includes(name) ? disk(fn.config.disks?.[name] ?? '') : undefined),
      );
  }
  return directory(table);
}

const netdev = () =>
  directory({
    operstate: () => file(() => 'down\n'),
    flags: () => file(() => '0x1002\n'),
    address: () => file(() => '52:54:00:12:34:56\n'),
  });

const disk = (number: string) =>
  directory({ dev: () => file(() => `${number}\n`), holders: () => directory({}) });
