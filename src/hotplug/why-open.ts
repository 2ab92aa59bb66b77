import { groupCdevs } from '../host/cdev.js';
import { isHeldBy, vfioNodes } from '../host/holders.js';
import { known, unknown, type Known } from '../known.js';
import type { StepContext } from './context.js';

/**
 * Why an IOMMU group cannot be given back yet though its devices have left QEMU's device tree: QEMU closes the
 * group's node, or with `cdevs` those of its devices, a moment later. Undefined when it is closed; unknown where QEMU's open files cannot be read.
 */
export async function whyOpen(
  group: number,
  { vm, host }: Pick<StepContext, 'vm' | 'host'>,
  { cdevs = false }: { readonly cdevs?: boolean } = {},
): Promise<Known<string | undefined>> {
  // The kernel closes what a process that has ended had open.
  if (vm.identity.kind !== 'process' || (await vm.isGone())) return known(undefined);
  const { pid } = vm.identity;
  for (const node of vfioNodes(group, cdevs ? await groupCdevs(host, group) : [])) {
    const held = await isHeldBy(host, pid, node);
    if (!held.known) return unknown(`whether ${node} is closed cannot be told: ${held.reason}`);
    if (held.value) return known(`${node} is still open in QEMU, process ${pid}`);
  }
  return known(undefined);
}
