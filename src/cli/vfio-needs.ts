import type { HostEffects, HostSnapshot } from '../index.js';

/** Something without which no device of this host can go to a VM. */
export interface MissingNeed {
  readonly need: 'iommu' | 'vfio-pci' | 'vfio-node';
  readonly evidence: string;
  readonly remedy: string;
}

const DRIVER = '/sys/bus/pci/drivers/vfio-pci';
const CONTAINER = '/dev/vfio/vfio';
const IOMMUFD = '/dev/iommu';

/** What the host lacks for VFIO; empty where devices can be given away. */
export async function findMissing(
  effects: HostEffects,
  host: HostSnapshot,
): Promise<readonly MissingNeed[]> {
  const isLoaded = await exists(effects, DRIVER);
  const driver = isLoaded ? await findMissingNode(effects) : await findMissingModule(effects);
  return [...findMissingIommu(host), ...driver];
}

function findMissingIommu({ groups }: HostSnapshot): readonly MissingNeed[] {
  if (groups.size > 0) return [];
  return [
    {
      need: 'iommu',
      evidence: 'there are no IOMMU groups (/sys/kernel/iommu_groups is empty)',
      remedy:
        'switch VT-d or AMD-Vi on in the firmware, and boot the kernel with intel_iommu=on on Intel',
    },
  ];
}

/** A driver that is not loaded yet will be, where its module is installed. */
async function findMissingModule(effects: HostEffects): Promise<readonly MissingNeed[]> {
  const remedy = 'install the module vfio-pci of the running kernel, then: modprobe vfio-pci';
  const release = await readOr(effects, '/proc/sys/kernel/osrelease');
  const directory = `/lib/modules/${(release ?? '').trim()}`;
  const lists = await Promise.all(
    ['modules.dep', 'modules.builtin'].map((name) => readOr(effects, `${directory}/${name}`)),
  );
  if (lists.some((list) => list !== undefined && /\/vfio[-_]pci\.ko/.test(list))) return [];
  const evidence = lists.every((list) => list === undefined)
    ? `the driver vfio-pci is not loaded, and ${directory} tells nothing of its module`
    : `the driver vfio-pci is not loaded, and ${directory} has no module of that name`;
  return [{ need: 'vfio-pci', evidence, remedy }];
}

/** In a container the kernel has the driver and /dev has not its node. */
async function findMissingNode(effects: HostEffects): Promise<readonly MissingNeed[]> {
  if (await exists(effects, CONTAINER)) return [];
  if (await exists(effects, IOMMUFD)) return [];
  return [
    {
      need: 'vfio-node',
      evidence: `the driver vfio-pci is loaded, but there is neither ${CONTAINER} nor ${IOMMUFD}`,
      remedy: 'modprobe vfio; in a container, pass /dev/vfio through',
    },
  ];
}

/** What cannot be looked at counts as absent: it is told with what was looked at. */
async function exists(effects: HostEffects, path: string): Promise<boolean> {
  return effects.stat(path).then(
    () => true,
    () => false,
  );
}

async function readOr(effects: HostEffects, path: string): Promise<string | undefined> {
  return effects.read(path).catch(() => undefined);
}
