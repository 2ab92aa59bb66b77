import { isJsonObject, parseJson } from '../../../json.js';
import { HostError } from '../../../errors.js';
import { parseArgument, parseCommandLine } from '../command-line.js';
import { textOf } from '../file-state.js';
import type { CommandBackend } from './backend.js';

const CONFIGURATION = '/etc/kernelstub/configuration';

/** Pop!_OS: one argument a call. */
export const kernelstub: CommandBackend = {
  kind: 'command',
  name: 'kernelstub',
  imageManaged: false,
  canMerge: true,
  look: ['kernelstub', '--print-config'],
  async detect(host) {
    return (await host.findProgram('kernelstub')) !== undefined;
  },
  async read(host) {
    const text = textOf(await host.readFile(CONFIGURATION)) ?? '{}';
    const document = parseJson(text);
    const user = isJsonObject(document) ? document.user : undefined;
    const options = isJsonObject(user) ? user.kernel_options : [];
    if (typeof options === 'string') return { words: parseCommandLine(options) };
    if (!Array.isArray(options)) {
      throw new HostError('HOST_UNREADABLE', `${CONFIGURATION}: user.kernel_options is no list`);
    }
    return { words: options.filter((each) => typeof each === 'string').map(parseArgument) };
  },
  commands(changes) {
    return changes.flatMap((change) => {
      const removed = change.op === 'replace' ? change.old : change.text;
      return [
        ...(change.op === 'add' ? [] : [['kernelstub', '-d', removed]]),
        ...(change.op === 'remove' ? [] : [['kernelstub', '-a', change.text]]),
      ];
    });
  },
};
