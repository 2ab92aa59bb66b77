import type { DesiredState } from '../desired-state.js';
import { moduleName, moduleState, type SetupFacts } from '../facts.js';
import { EARLY_RULE } from './places.js';
import type { Wishes } from './wish.js';

const ITEM = 'initramfs';
/** dracut loads it before udev looks at the first device (dracut.cmdline(7)). */
const EARLY_LOAD = [{ item: ITEM, key: 'rd.driver.pre', value: 'vfio-pci' }] as const;
/** In the order in which they need each other; vfio_virqfd is a part of vfio from Linux 6.2 on. */
const MODULES = ['vfio', 'vfio_iommu_type1', 'vfio_virqfd', 'vfio_pci'];

/**
 * vfio-pci in the initramfs: without it there, ids on the command line and rules come too late. Nothing where
 * it is built in; on an image system the image has it or lacks it, and nobody here may make another.
 */
export function initramfsFiles(
  desired: DesiredState,
  facts: SetupFacts,
  { withRule }: { readonly withRule: boolean },
): Wishes {
  const policy = desired.initramfs ?? 'auto';
  const needed = MODULES.filter((name) => moduleState(facts, name) === 'module');
  const isBuiltIn = moduleState(facts, 'vfio_pci') === 'builtin';
  if (isBuiltIn && !withRule)
    return { satisfied: [{ item: ITEM, by: 'vfio_pci is built into the kernel' }] };
  if (policy === 'never') {
    return {
      notes: [
        { item: ITEM, text: 'initramfs is "never": vfio-pci comes when the root is mounted' },
      ],
    };
  }
  const intoImage = !facts.isMachine;
  if (facts.isImageSystem && !intoImage) return onImageSystem(facts, needed, withRule);
  if (policy === 'imageOnly' && !intoImage) {
    return { notes: [{ item: ITEM, text: 'initramfs is "imageOnly": nothing on a machine' }] };
  }
  const { backend } = facts.initramfs;
  if (backend === undefined) {
    const reason = 'nothing here makes an initramfs (dracut, mkinitcpio, initramfs-tools, booster)';
    return { refused: [{ item: ITEM, state: 'unmet', reason, remedy: 'install one of them' }] };
  }
  if (withRule && !backend.takesFiles) {
    const reason = `${backend.name} runs no udev in its image, so a rule binds nothing there`;
    return { refused: [{ item: ITEM, state: 'unmet', reason, remedy: 'use the method ids' }] };
  }
  const wish = { modules: isBuiltIn ? [] : needed, files: withRule ? [EARLY_RULE] : [], intoImage };
  return {
    arguments: backend.name === 'dracut' ? EARLY_LOAD : [],
    files: backend.wishes(wish).map((file) => ({
      ...file,
      item: ITEM,
      refresh: ['initramfs' as const],
      needsReboot: true,
      risk: 'boot' as const,
      ...(backend.executable?.includes(file.path) ? { mode: 0o755 } : {}),
    })),
  };
}

function onImageSystem(
  { initramfs: { listing } }: SetupFacts,
  needed: readonly string[],
  withRule: boolean,
): Wishes {
  if (!listing.known) {
    const remedy = 'look at the image as root: lsinitrd | grep vfio';
    return { refused: [{ item: ITEM, state: 'unknown', reason: listing.reason, remedy }] };
  }
  if (withRule && !listing.value.some((line) => line.endsWith(EARLY_RULE.slice(1)))) {
    const reason = "a rule cannot get into the image's initramfs, and after it comes too late";
    return { refused: [{ item: ITEM, state: 'unmet', reason, remedy: 'use the method ids' }] };
  }
  const inside = new Set(listing.value.flatMap(moduleName));
  const missing = needed.filter((name) => !inside.has(name));
  if (missing.length === 0) {
    const by = "the image's initramfs has the modules";
    return { satisfied: [{ item: ITEM, by }], arguments: EARLY_LOAD };
  }
  const reason = `modules are missing from the image: ${missing.join(', ')}; on an image system no initramfs is made`;
  const remedy =
    'use an image whose initramfs has them: qmplug host apply --root DIR when it is built';
  return { refused: [{ item: ITEM, state: 'unmet', reason, remedy }] };
}
