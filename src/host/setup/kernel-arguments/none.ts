import { changeWords } from '../argument-changes.js';
import { parseCommandLine } from '../command-line.js';
import type { PrintBackend } from './backend.js';

/** No mechanism that we know: whoever set the machine up adds the arguments. */
export const none: PrintBackend = {
  kind: 'print',
  isDeclared: false,
  name: 'none',
  imageManaged: false,
  detect: async () => true,
  async read(host) {
    return { words: parseCommandLine(await host.readAttribute('/proc/cmdline').catch(() => '')) };
  },
  print: (changes) => `add to the kernel command line: ${changeWords([], changes).join(' ')}`,
};
