import { HostError } from '../errors.js';
import { known, unknown, type Known } from '../known.js';
import { compareBdf, type Bdf } from '../pci/pci-address.js';
import { parseResource } from '../pci/resource.js';
import type { Children } from './children.js';
import { isBdfName } from './class-devices.js';
import { readCdev } from './cdev.js';
import type { HostEffects } from './effects.js';
import {
  exists,
  hostFailure,
  listOrNone,
  readAttribute,
  readLinkName,
  reasonOf,
} from './reading.js';
import type { HostDevice } from './types.js';

/** Directory of a function in sysfs. */
export function devicePath(bdf: Bdf): string {
  return `/sys/bus/pci/devices/${bdf}`;
}

/** Every PCI function of the host in numeric order. */
export async function listFunctions(effects: HostEffects): Promise<readonly Bdf[]> {
  const names = await listOrNone(effects, '/sys/bus/pci/devices');
  return names.filter(isBdfName).sort(compareBdf);
}

/**
 * One PCI function as sysfs shows it; `undefined` when it is gone. Reads nothing that wakes a
 * suspended device (`config`, link status) and nothing that waits for the device lock, except
 * the override, whose reading can fail without failing the rest. VFs are counted by their links for that
 * reason: `sriov_numvfs` takes the lock.
 *
 * @throws {HostError} `HOST_UNREADABLE` when the identity of a present function cannot be read.
 */
export async function readFunction(
  effects: HostEffects,
  bdf: Bdf,
  children: Children = {},
): Promise<HostDevice | undefined> {
  const path = devicePath(bdf);
  const entries = new Set(await listOrNone(effects, path));
  const attribute = async (name: string) =>
    entries.has(name) ? readAttribute(effects, `${path}/${name}`) : undefined;
  const link = async (name: string) =>
    entries.has(name) ? readLinkName(effects, `${path}/${name}`) : undefined;
  try {
    const [vendorId, deviceId, classCode] = await Promise.all(
      ['vendor', 'device', 'class'].map(async (name) => parseHex(await attribute(name))),
    );
    if (vendorId === undefined || deviceId === undefined || classCode === undefined) {
      return await goneOrUnreadable(effects, bdf);
    }
    const physfn = await link('physfn');
    return {
      bdf,
      vendorId,
      deviceId,
      subsystemVendorId: parseHex(await attribute('subsystem_vendor')) ?? 0,
      subsystemDeviceId: parseHex(await attribute('subsystem_device')) ?? 0,
      classCode,
      revision: parseHex(await attribute('revision')) ?? 0,
      driver: await link('driver'),
      driverOverride: await readOverride(effects, bdf),
      numaNode: parseDecimal(await attribute('numa_node')) ?? -1,
      iommuGroup: parseDecimal(await link('iommu_group')),
      bars: parseResource((await attribute('resource')) ?? ''),
      resetMethods: ((await attribute('reset_method')) ?? '').split(/\s+/).filter(Boolean),
      bridge: isBridgeClass(classCode),
      bootVga: (await attribute('boot_vga')) === '1',
      physfn: physfn !== undefined && isBdfName(physfn) ? physfn : undefined,
      vfCount: [...entries].filter((name) => /^virtfn\d+$/.test(name)).length,
      vfTotal: parseDecimal(await attribute('sriov_totalvfs')) ?? 0,
      modalias: await attribute('modalias'),
      vfioCdev: entries.has('vfio-dev') ? await readCdev(effects, bdf) : undefined,
      children,
    };
  } catch (error) {
    throw hostFailure(bdf, error, 'HOST_UNREADABLE');
  }
}

/**
 * The exact override: `undefined` when unset, which the kernel spells `(null)`. Unknown where the file
 * did not answer: on Linux 6.1 it waits for the device lock, and so for a stuck unbind.
 */
export async function readOverride(
  effects: HostEffects,
  bdf: Bdf,
): Promise<Known<string | undefined>> {
  try {
    const text = await readAttribute(effects, `${devicePath(bdf)}/driver_override`);
    return known(text === '(null)' || text === '' ? undefined : text);
  } catch (error) {
    return unknown(reasonOf(error));
  }
}

/** Name of the bound driver's directory; undefined when unbound. */
export async function readDriver(effects: HostEffects, bdf: Bdf): Promise<string | undefined> {
  return readLinkName(effects, `${devicePath(bdf)}/driver`);
}

/** Number of the IOMMU group; undefined without an IOMMU. */
export async function readGroupNumber(effects: HostEffects, bdf: Bdf): Promise<number | undefined> {
  return parseDecimal(await readLinkName(effects, `${devicePath(bdf)}/iommu_group`));
}

/** Bridges to other buses: class 0x0604 (PCI-to-PCI) and 0x0600 (host). */
export function isBridgeClass(classCode: number): boolean {
  const subclass = classCode >>> 8;
  return subclass === 0x0604 || subclass === 0x0600;
}

async function goneOrUnreadable(effects: HostEffects, bdf: Bdf): Promise<undefined> {
  if (!(await exists(effects, `${devicePath(bdf)}/vendor`))) return undefined;
  throw new HostError('HOST_UNREADABLE', `${bdf}: vendor, device and class cannot be understood`, {
    details: { device: bdf },
  });
}

function parseHex(text: string | undefined): number | undefined {
  return text !== undefined && /^0x[0-9a-f]+$/i.test(text) ? parseInt(text, 16) : undefined;
}

function parseDecimal(text: string | undefined): number | undefined {
  return text !== undefined && /^-?\d+$/.test(text) ? parseInt(text, 10) : undefined;
}
