import {
  findArguments,
  parseArgument,
  sameArgument,
  type KernelArgument,
} from '../command-line.js';
import type { Note, Wish } from './wish.js';

/** What the recipes wrote onto the command line, all of it together. */
const RECIPE = [
  'amd_iommu=on',
  'intel_iommu=on',
  'iommu=pt',
  'rd.driver.pre=vfio-pci',
  'vfio_pci.disable_vga=1',
  'kvm.ignore_msrs=1',
  'kvm.report_ignored_msrs=0',
  'kvmfr.static_size_mb=128',
  'split_lock_detect=off',
].map(parseArgument);

/** Fewer of them are an administrator's own choice. */
const MANY = 4;

/** Words of a line that look like a recipe's; none where they are few. */
export function recipeWords(line: readonly KernelArgument[]): readonly KernelArgument[] {
  const words = RECIPE.flatMap((word) =>
    findArguments(line, word.key).filter((each) => sameArgument(each, word)),
  );
  return words.length < MANY ? [] : words;
}

/** What earlier recipes left behind, and what other managers of devices keep here: told, never touched. */
export const artefacts: Wish = (_desired, { leftovers, claims, kernelArguments }) => {
  const { configured, backend } = kernelArguments;
  const words = configured.known ? recipeWords(configured.value.words) : [];
  const how =
    backend.kind === 'command'
      ? 'to have one removed: qmplug host adopt FILE WORD'
      : 'remove them where they are set, if nothing needs them';
  const line: readonly Note[] =
    words.length === 0
      ? []
      : [
          {
            item: 'artefact',
            text: `${words.map(({ text }) => text).join(' ')}: this looks like the line of an earlier recipe; ${how}`,
          },
        ];
  return {
    notes: [
      ...leftovers.files.map((path) => ({
        item: 'artefact',
        text: `${path} may be left of an earlier recipe; to have it removed: qmplug host adopt FILE ${path}`,
      })),
      ...leftovers.others.map(({ what, remedy }) => ({
        item: 'artefact',
        text: `${what} may be left of an earlier recipe; to remove it: ${remedy}`,
      })),
      ...line,
      ...claims.map((path) => ({ item: 'claim', text: `${path}: another manager claims devices` })),
    ],
  };
};
