import { queryTarget, queryVersion } from '../qmp/commands.js';
import { CommandError } from '../qmp/failures.js';
import { deviceListProperties, qomListProperties } from '../qmp/qom-commands.js';
import type { QemuVersion, QmpSession } from '../qmp/session.js';

/** What one build of QEMU can do; asked of it rather than told by its version where it answers. */
export interface QemuCapabilities {
  readonly version: QemuVersion;
  /** As `query-target` has it: `x86_64`, `s390x`. */
  readonly arch: string;
  /**
   * `device_add` takes JSON types as they are, and reads a number in `addr` as slot * 8 + function;
   * before, everything was text first. QEMU says this nowhere: 9.2 and later (measured: 7.2 and 10.0).
   */
  readonly strictTypes: boolean;
  /** Object type `iommufd`, and `iommufd` of vfio-pci. */
  readonly iommufd: boolean;
  /** `fd` of vfio-pci: a device opened by somebody else. */
  readonly vfioFd: boolean;
  /** `vf-token` of vfio-pci. */
  readonly vfToken: boolean;
  /** Switch of q35 between ACPI and native hot-plug; without it the ports are native. */
  readonly acpiBridgeHotplug: boolean;
  /** What a root port calls the switch of its own native hot-plug; it has had three names. */
  readonly nativeHotplugProperty: NativeHotplugProperty | undefined;
}

/** The last one is the negation of the others. */
export const NATIVE_HOTPLUG_PROPERTIES = [
  'native-hotplug',
  'x-native-hotplug',
  'x-do-not-expose-native-hotplug-cap',
] as const;

export type NativeHotplugProperty = (typeof NATIVE_HOTPLUG_PROPERTIES)[number];

/** What was found out, by build: its version, its packager's name for it, and its target. */
export type CapabilityCache = Map<string, QemuCapabilities>;

/**
 * Asks a QEMU what it can do; of a build that is in the cache already, only which build it is.
 *
 * @param cache is added to. Entries hold for as long as the host runs: a build does not change.
 * @throws as the session does.
 */
export async function readCapabilities(
  session: QmpSession,
  cache: CapabilityCache = new Map(),
): Promise<QemuCapabilities> {
  const [version, arch] = await Promise.all([queryVersion(session), queryTarget(session)]);
  const build = `${version.major}.${version.minor}.${version.micro} ${version.package} ${arch}`;
  const found = cache.get(build) ?? (await ask(session, version, arch));
  cache.set(build, found);
  return found;
}

async function ask(
  session: QmpSession,
  version: QemuVersion,
  arch: string,
): Promise<QemuCapabilities> {
  const [vfio, port, lpc, iommufd] = await Promise.all([
    propertiesOf(deviceListProperties(session, 'vfio-pci')),
    propertiesOf(deviceListProperties(session, 'pcie-root-port')),
    propertiesOf(deviceListProperties(session, 'ICH9-LPC')),
    isKnownType(session, 'iommufd'),
  ]);
  return {
    version,
    arch,
    strictTypes: version.major * 100 + version.minor >= 902,
    iommufd: iommufd && vfio.has('iommufd'),
    vfioFd: vfio.has('fd'),
    vfToken: vfio.has('vf-token'),
    acpiBridgeHotplug: lpc.has('acpi-pci-hotplug-with-bridge-support'),
    nativeHotplugProperty: NATIVE_HOTPLUG_PROPERTIES.find((name) => port.has(name)),
  };
}

/** Whether this build has a device type; types come with builds and go with versions. */
export async function hasDeviceType(session: QmpSession, typename: string): Promise<boolean> {
  return (await orUnknown(deviceListProperties(session, typename))) !== undefined;
}

async function isKnownType(session: QmpSession, typename: string): Promise<boolean> {
  return (await orUnknown(qomListProperties(session, typename))) !== undefined;
}

async function propertiesOf(
  listing: Promise<ReadonlyMap<string, unknown>>,
): Promise<ReadonlyMap<string, unknown>> {
  return (await orUnknown(listing)) ?? new Map<string, unknown>();
}

/** Undefined where QEMU does not know the type. */
async function orUnknown<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof CommandError && error.qmpClass === 'DeviceNotFound') return undefined;
    throw error;
  }
}
