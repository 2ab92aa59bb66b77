import { changeWords, type ArgumentChange } from '../argument-changes.js';
import { parseArgument, sameArgument } from '../command-line.js';
import { textOf } from '../file-state.js';
import type { ConfiguredArguments, FileBackend, FileWish } from './backend.js';
import { DEFAULTS, DROP_INS, dropIns, readGrubDefaults } from './grub-defaults.js';

const OWN = `${DROP_INS}/50-qmplug.cfg`;
const VARIABLE = 'GRUB_CMDLINE_LINUX_DEFAULT';

/** Debian's GRUB, whose grub-mkconfig sources /etc/default/grub.d: a file of our own. */
export const grubDropIn: FileBackend = {
  kind: 'file',
  name: 'grub-drop-in',
  imageManaged: false,
  canMerge: true,
  ownFile: OWN,
  async detect(host) {
    if ((await host.findProgram('update-grub')) === undefined) return false;
    const script = await host.findProgram('grub-mkconfig');
    if (script === undefined || !(await host.exists(DEFAULTS))) return false;
    return (textOf(await host.readFile(script)) ?? '').includes('/default/grub.d');
  },
  async read(host) {
    return readGrubDefaults(host, [DEFAULTS, ...(await dropIns(host))]);
  },
  files(changes, configured) {
    const added = changes.filter(({ op }) => op === 'add');
    const others = changes.filter(({ op }) => op !== 'add');
    const words = changeWords([], added);
    const own: readonly FileWish[] =
      words.length === 0 ? [] : [{ path: OWN, content: dropInContent(words) }];
    return [...own, ...editsInPlace(others, configured)];
  },
  refresh: async () => [['update-grub']],
};

function dropInContent(words: readonly string[]): string {
  const line = words.join(' ').replace(/["\\$`]/g, '\\$&');
  return `# Written by qmplug host apply.\n${VARIABLE}="$${VARIABLE} ${line}"\n`;
}

/** What replaces somebody else's word has to be changed where that word stands. */
export function editsInPlace(
  changes: readonly ArgumentChange[],
  { files = [] }: ConfiguredArguments,
): readonly FileWish[] {
  return files.flatMap(({ path, variable = VARIABLE, words }) => {
    const here = changes.filter((change) => {
      const old = parseArgument(change.op === 'replace' ? change.old : change.text);
      const made = parseArgument(change.text);
      return words.some((word) => sameArgument(word, old) || sameArgument(word, made));
    });
    if (here.length === 0) return [];
    return [{ path, edit: { kind: 'shell-variable' as const, variable, changes: here } }];
  });
}
