import type { Bar } from '../../pci/bar.js';
import { errnoText } from '../host/errno.js';
import type { RegionSpec } from './device-types.js';
import { QmpFailure } from './failure.js';
import type { Machine } from './machine.js';
import type { PciDevice } from './model.js';
import { VfioOpenError, type VfioFunction } from './vfio-backend.js';

const DEFAULT_RAM = 256n << 20n;

/** RAM of the VM, which the first VFIO device pins. */
export const ramOf = (machine: Machine) => machine.config.memoryBytes ?? DEFAULT_RAM;

/**
 * Opens the host's device for a vfio-pci, with the texts of the release.
 * Source: vfio_realize (hw/vfio/pci.c), vfio_get_group (hw/vfio/common.c), 7.2.
 *
 * @throws {QmpFailure}
 */
export function realizeVfio(machine: Machine, device: PciDevice): void {
  const path = sysfsPath(device);
  const { backend } = machine;
  if (!backend.exists(path)) {
    throw new QmpFailure(`vfio ${path}: no such host device: No such file or directory`);
  }
  const name = path.split('/').at(-1) ?? '';
  const fail = (text: string) => new QmpFailure(`vfio ${name}: ${text}`);
  const fn = backend.describe(path);
  if (fn?.group === undefined) {
    throw fail('no iommu_group found: No such file or directory');
  }
  if (machine.devices.some((other) => hostOf(machine, other) === fn.bdf)) {
    throw fail('device is already attached');
  }
  const object = device.properties.get('iommufd');
  const token = device.properties.get('vf-token');
  try {
    if (typeof object === 'string') {
      const isIommuOpen = machine.objects.get(object)?.fd !== undefined;
      backend.openThroughIommufd(fn.bdf, ramOf(machine), { device: device.handed, isIommuOpen });
    } else {
      backend.open(fn.bdf, ramOf(machine), typeof token === 'string' ? token : undefined);
    }
  } catch (error) {
    if (!(error instanceof VfioOpenError)) throw error;
    throw fail(openFailure(machine, fn.group, error));
  }
  if (fn.dead) {
    backend.close(fn.bdf);
    throw fail('failed to read device config space');
  }
  takeIdentity(device, fn);
  device.release = () => {
    backend.close(fn.bdf);
  };
}

/** `sysfsdev` wins over `host`. @throws {QmpFailure} when neither is given. */
function sysfsPath({ properties }: PciDevice): string {
  const sysfsdev = properties.get('sysfsdev');
  if (typeof sysfsdev === 'string') return sysfsdev;
  const host = properties.get('host');
  if (typeof host !== 'string') throw new QmpFailure('No provided host device');
  return `/sys/bus/pci/devices/${canonicalHost(host)}`;
}

/** `host` as `qom-get` returns it: always with a domain. */
export function canonicalHost(host: string): string {
  const parts = host.toLowerCase().split(':');
  const [domain = '0', bus = '0', deviceFunction = '0.0'] =
    parts.length === 3 ? parts : ['0', ...parts];
  const [device = '0', fn = '0'] = deviceFunction.split('.');
  return `${domain.padStart(4, '0')}:${bus.padStart(2, '0')}:${device.padStart(2, '0')}.${fn}`;
}

function hostOf(machine: Machine, device: PciDevice): string | undefined {
  if (!device.type.name.startsWith('vfio-pci')) return undefined;
  return machine.backend.describe(sysfsPath(device))?.bdf;
}

function openFailure(machine: Machine, group: number, error: VfioOpenError): string {
  const { release } = machine;
  const reason = errnoText(error.errno);
  const container = `failed to setup container for group ${group}`;
  switch (error.stage) {
    case 'open-group':
      return release.newOpenText
        ? `Could not open '/dev/vfio/${group}': ${reason}`
        : `failed to open /dev/vfio/${group}: ${reason}`;
    case 'viable':
      return `group ${group} is not viable`;
    case 'container':
      return `${container}: Failed to set iommu for container: ${reason}`;
    case 'map':
      return (
        `${container}: memory listener initialization failed: Region pc.ram: ` +
        `${release.dmaMapFunction}(0x55d0c0a51000, 0x0, 0x${ramOf(machine).toString(16)}, ` +
        `0x7f2b14000000) = -12 (${reason})`
      );
    case 'open-iommu':
      return `Could not open '/dev/iommu': ${reason}`;
    case 'open-cdev':
      return `Failed to open /dev/vfio/devices: ${reason}`;
    case 'bind':
      return `error bind device fd=12 to iommufd=11: ${reason}`;
    case 'get-device':
      return `error getting device from group ${group}: ${reason}`;
  }
}

function takeIdentity(device: PciDevice, fn: VfioFunction): void {
  device.identity = {
    vendorId: fn.vendorId,
    deviceId: fn.deviceId,
    classCode: fn.classCode >>> 8,
    classText: undefined,
    subsystem: fn.subsystem,
    irqPin: 1,
  };
  device.regions = fn.bars
    .filter(({ kind }) => kind !== 'rom' || device.properties.get('rombar') !== 0)
    .map((bar) => ({ ...regionOf(bar), address: undefined }));
}

function regionOf({ index, kind, sizeBytes }: Bar): RegionSpec {
  return {
    bar: index,
    type: kind === 'io' ? 'io' : 'memory',
    sizeBytes,
    prefetch: kind === 'pref32' || kind === 'pref64',
    is64bit: kind === 'mem64' || kind === 'pref64',
  };
}
