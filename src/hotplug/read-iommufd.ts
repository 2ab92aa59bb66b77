import { hasCdevs, IOMMU_NODE } from '../host/cdev.js';
import { canReadWrite, readCredentials } from '../host/credentials.js';
import type { HostEffects } from '../host/effects.js';
import { exists, ifPresent } from '../host/reading.js';
import type { HostSnapshot } from '../host/types.js';
import type { IommufdFacts } from '../plan/route.js';
import { readCapabilities, type CapabilityCache } from '../vm/capabilities.js';
import type { VmLink } from './vm-link.js';

/**
 * Looks whether a device could go into a VM through iommufd. Where the host has none QEMU is not asked: most hosts
 * have none.
 *
 * @throws {HostError} where the host cannot be read. @throws as the session does.
 */
export async function readIommufd(
  effects: HostEffects,
  link: VmLink,
  { host, cache }: { readonly host: HostSnapshot; readonly cache: CapabilityCache },
): Promise<IommufdFacts> {
  const nothing = {
    hostLacks: undefined,
    hostUnsure: undefined,
    qemuLacks: undefined,
    closedToQemu: undefined,
    noDescriptors: undefined,
  };
  if (!(await exists(effects, IOMMU_NODE))) {
    return { ...nothing, hostLacks: `the host has no ${IOMMU_NODE}` };
  }
  const cdevs = await makesCdevs(effects, host);
  if (cdevs === false) {
    return { ...nothing, hostLacks: 'its kernel makes no nodes of single devices' };
  }
  const session = await link.session();
  const { iommufd, vfioFd, version } = await readCapabilities(session, cache);
  const qemu = `QEMU ${version.major}.${version.minor}.${version.micro}`;
  return {
    hostLacks: undefined,
    hostUnsure:
      cdevs === undefined
        ? 'the module vfio is not loaded, so whether it makes nodes of single devices cannot be told'
        : undefined,
    qemuLacks: iommufd ? undefined : `${qemu} has no iommufd`,
    closedToQemu: await whyClosed(effects, link),
    noDescriptors: vfioFd ? await session.fileObstacle() : `${qemu} takes no descriptors`,
  };
}

async function makesCdevs(
  effects: HostEffects,
  { devices }: HostSnapshot,
): Promise<boolean | undefined> {
  const isProven = [...devices.values()].some(({ vfioCdev }) => vfioCdev !== undefined);
  return isProven || (await hasCdevs(effects));
}

/** Why QEMU cannot open /dev/iommu; undefined where it can. */
async function whyClosed(effects: HostEffects, { identity }: VmLink): Promise<string | undefined> {
  // The planner refuses a host device for such a VM.
  if (identity.kind !== 'process') return 'no process of QEMU is proven';
  const { pid } = identity;
  // A root of its own that we may not look into is judged by the host's node.
  const seen = await ifPresent(effects.stat(`/proc/${pid}/root${IOMMU_NODE}`)).catch(() => null);
  if (seen === undefined) return `QEMU (pid ${pid}) has no ${IOMMU_NODE} in its file system`;
  const stat = seen ?? (await effects.stat(IOMMU_NODE));
  const who = await readCredentials(effects, pid);
  return canReadWrite(who, stat)
    ? undefined
    : `${IOMMU_NODE} is closed to QEMU, which runs as uid ${who.uid}`;
}
