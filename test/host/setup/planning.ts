import type { JsonValue } from '../../../src/json.js';
import { planHost, readDesiredState, type SetupPlan } from '../../../src/host/setup/index.js';
import * as trees from './stand-ins.js';
import { HostTree, type TreeEntry } from './tree.js';

export type Tree = Readonly<Record<string, TreeEntry>>;

export const RELEASE_MODULES = '/usr/lib/modules/6.1.0-50-amd64/modules.dep';
export const VFIO_MODULES =
  'kernel/vfio.ko:\nkernel/vfio-pci.ko:\nkernel/vfio_iommu_type1.ko:\nkernel/kvm.ko:\nextra/kvmfr.ko:\n';
export const kvmfrModule: Tree = { [RELEASE_MODULES]: VFIO_MODULES };

/** A Debian with a graphics card and kvmfr. */
export const desktop: Tree = {
  ...trees.debian,
  ...kvmfrModule,
  ...trees.pciDevice('0000:01:00.0'),
};

/** Something of every part of a desired state. */
export const EVERYTHING: JsonValue = {
  iommu: { mode: 'pt' },
  kvm: { ignoreMsrs: true, reportIgnoredMsrs: false, nested: true },
  vfio: { disableVga: true, disableIdleD3: true },
  kvmfr: { sizesMb: [128] },
  early: ['0000:01:00.0'],
  memlock: [{ unit: 'libvirtd.service', limit: '64G' }],
  fallback: 'blacklist',
};

export async function plan(
  tree: Tree,
  desired: JsonValue,
  architecture = 'x86_64',
): Promise<SetupPlan> {
  using host = new HostTree(tree);
  // Awaited here: the tree goes with the block.
  return await planHost(host.environment({ architecture }), readDesiredState(desired));
}

export const stateOf = ({ items }: Pick<SetupPlan, 'items'>, id: string): string | undefined =>
  items.find((item) => item.id === id)?.state;

/** What the actions of a plan would write and run. */
export const wantedText = ({ actions }: SetupPlan) =>
  actions.map(({ wanted, argv }) => `${wanted ?? ''} ${JSON.stringify(argv ?? [])}`).join('\n');
