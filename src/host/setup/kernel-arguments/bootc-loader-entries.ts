import { changeWords } from '../argument-changes.js';
import { parseCommandLine } from '../command-line.js';
import { textOf } from '../file-state.js';
import { runOrFail } from '../handlers/programs.js';
import type { SetupHost } from '../setup-host.js';
import type { CommandBackend } from './backend.js';

const SET = ['bootc', 'loader-entries', 'set-options-for-source', '--source', 'qmplug'] as const;
const ENTRIES = '/boot/loader/entries';

/**
 * A running bootc system that tracks arguments by source: bootc 1.16.9 or later with ostree 2026.1 or later. Only
 * arguments that nobody else has may go into our source: clearing it takes a namesake of the base along.
 */
export const bootcLoaderEntries: CommandBackend = {
  kind: 'command',
  name: 'bootc-loader-entries',
  imageManaged: true,
  canMerge: false,
  look: ['bootc', 'loader-entries', '--help'],
  async detect(host) {
    if (!host.isMachine && !(await host.exists('/run/ostree-booted'))) return false;
    if ((await host.findProgram('bootc')) === undefined) return false;
    if ((await host.findProgram('ostree')) === undefined) return false;
    const { status } = await host.run(['bootc', 'loader-entries', '--help']);
    return status === 0 && isNewEnough(await runOrFail(host, ['ostree', '--version']));
  },
  async read(host) {
    const text = await newestEntry(host);
    const field = (name: string) =>
      [...text.matchAll(new RegExp(`^${name}[ \\t]+(.*)$`, 'gm'))]
        .map(([, rest = '']) => rest)
        .join(' ');
    return {
      words: parseCommandLine(field('options')),
      own: parseCommandLine(field('x-options-source-qmplug')).map((word) => word.text),
    };
  },
  commands(changes, { own = [] }) {
    const words = changeWords(own, changes);
    return [words.length === 0 ? SET : [...SET, '--options', words.join(' ')]];
  },
};

function isNewEnough(version: string): boolean {
  const [, year = '0', minor = '0'] = /(\d{4})\.(\d+)/.exec(version) ?? [];
  return Number(year) > 2026 || (Number(year) === 2026 && Number(minor) >= 1);
}

/** The entry that boots next: the highest `version` (UAPI boot loader specification, entry sorting). */
async function newestEntry(host: SetupHost): Promise<string> {
  const names = (await host.list(ENTRIES)).filter((name) => name.endsWith('.conf'));
  const texts = await Promise.all(
    names.map(async (name) => textOf(await host.readFile(`${ENTRIES}/${name}`)) ?? ''),
  );
  const version = (text: string) => Number(/^version[ \t]+(\d+)/m.exec(text)?.[1] ?? 0);
  return texts.sort((a, b) => version(b) - version(a))[0] ?? '';
}
