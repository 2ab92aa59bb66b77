import { changeWords } from '../argument-changes.js';
import { parseArgument } from '../command-line.js';
import { textOf } from '../file-state.js';
import type { SetupHost } from '../setup-host.js';
import type { FileBackend } from './backend.js';

const FOLDER = '/usr/lib/bootc/kargs.d';
const OWN = `${FOLDER}/50-qmplug.toml`;

/** Arguments that mean something on x86 alone; the name is Rust's, as bootc compares it. */
const X86_ONLY = /^(intel_iommu|amd_iommu|split_lock_detect)$/;

/** A bootc image while it is built: the arguments go into the image and with it to every machine. */
export const bootcImage: FileBackend = {
  kind: 'file',
  name: 'bootc-image',
  imageManaged: true,
  canMerge: false,
  ownFile: OWN,
  async detect(host) {
    const isBuild =
      !host.isMachine ||
      (await host.exists('/run/.containerenv')) ||
      (await host.exists('/.dockerenv'));
    const isBooted = await host.exists('/run/ostree-booted');
    return isBuild && !isBooted && (await host.exists('/usr/lib/bootc'));
  },
  async read(host) {
    const names = (await host.list(FOLDER)).filter((name) => name.endsWith('.toml'));
    const files = await Promise.all(
      names.map(async (name) => {
        const path = `${FOLDER}/${name}`;
        return { path, words: (await readKargs(host, path)).map(parseArgument) };
      }),
    );
    return { words: files.flatMap(({ words }) => words), files };
  },
  files(changes) {
    const words = changeWords([], changes);
    if (words.length === 0) return [];
    const lines = [
      '# Written by qmplug host apply.',
      `kargs = [${words.map((word) => JSON.stringify(word)).join(', ')}]`,
      ...(words.some((word) => X86_ONLY.test(parseArgument(word).key))
        ? ['match-architectures = ["x86_64"]']
        : []),
    ];
    return [{ path: OWN, content: `${lines.join('\n')}\n` }];
  },
  refresh: async () => [],
};

/** The strings of `kargs = [...]`: all that bootc allows there. */
async function readKargs(host: SetupHost, path: string): Promise<readonly string[]> {
  const text = textOf(await host.readFile(path)) ?? '';
  const list =
    /^\s*kargs\s*=\s*\[((?:[^\]"']|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')*)\]/m.exec(text)?.[1] ?? '';
  return [...list.matchAll(/("(?:[^"\\\n]|\\.)*")|'([^'\n]*)'/g)].map(([, basic, literal]) =>
    basic === undefined ? (literal ?? '') : (JSON.parse(basic) as string),
  );
}
