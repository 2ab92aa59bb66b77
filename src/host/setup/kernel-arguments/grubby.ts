import { parseCommandLine, sameArgument, type KernelArgument } from '../command-line.js';
import { runOrFail } from '../handlers/programs.js';
import type { CommandBackend } from './backend.js';

const LOOK = ['grubby', '--info=ALL'] as const;

/** Fedora and RHEL without an image: one set of arguments for every kernel that is installed. */
export const grubby: CommandBackend = {
  kind: 'command',
  name: 'grubby',
  imageManaged: false,
  canMerge: true,
  look: LOOK,
  async detect(host) {
    return (await host.findProgram('grubby')) !== undefined;
  },
  async read(host) {
    const info = await runOrFail(host, LOOK);
    const lines = [...info.matchAll(/^args="(.*)"$/gm)].map(([, args = '']) =>
      parseCommandLine(args),
    );
    const [first = [], ...others] = lines;
    const isEverywhere = (word: KernelArgument) =>
      [first, ...others].every((line) => line.some((other) => sameArgument(word, other)));
    // What one kernel lacks is not configured.
    const partial = [first, ...others].flat().filter((word) => !isEverywhere(word));
    return { words: first.filter(isEverywhere), partial };
  },
  commands(changes) {
    const added = changes.flatMap((change) => (change.op === 'remove' ? [] : [change.text]));
    const removed = changes.flatMap((change) => {
      if (change.op === 'add') return [];
      return [change.op === 'replace' ? change.old : change.text];
    });
    return [
      [
        'grubby',
        '--update-kernel=ALL',
        ...(removed.length === 0 ? [] : [`--remove-args=${removed.join(' ')}`]),
        ...(added.length === 0 ? [] : [`--args=${added.join(' ')}`]),
      ],
    ];
  },
};
