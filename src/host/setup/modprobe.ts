import { normaliseKey } from './command-line.js';
import { textOf } from './file-state.js';
import type { SetupHost } from './setup-host.js';

/** One line of modprobe's configuration: `options kvm ignore_msrs=1`. */
export interface ModprobeLine {
  readonly path: string;
  readonly command: string;
  /** With underscores. */
  readonly module: string;
  readonly rest: readonly string[];
}

/** In modprobe's order of precedence: of namesakes the first folder's counts (modprobe.d(5)). */
const FOLDERS = ['/etc/modprobe.d', '/run/modprobe.d', '/usr/lib/modprobe.d', '/lib/modprobe.d'];

/** Every line of modprobe's configuration that counts. */
export async function readModprobe(
  host: Pick<SetupHost, 'list' | 'readFile'>,
): Promise<readonly ModprobeLine[]> {
  const pathByName = new Map<string, string>();
  for (const folder of FOLDERS) {
    for (const name of await host.list(folder)) {
      if (name.endsWith('.conf') && !pathByName.has(name))
        pathByName.set(name, `${folder}/${name}`);
    }
  }
  const paths = [...pathByName].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, path]) => path);
  const texts = await Promise.all(
    paths.map(async (path) => {
      // A link to another file is read by modprobe too; to us it is one more line that may matter.
      const text =
        textOf(await host.readFile(path).catch(() => ({ kind: 'absent' as const }))) ?? '';
      return parseModprobe(text, path);
    }),
  );
  return texts.flat();
}

export function parseModprobe(text: string, path: string): readonly ModprobeLine[] {
  return text
    .replace(/\\\n/g, ' ')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .flatMap(([command = '', module = '', ...rest]) =>
      command === '' || command.startsWith('#')
        ? []
        : [{ path, command, module: normaliseKey(module), rest }],
    );
}

/** The value that modprobe gives a parameter, with the file that says so; the last counts. */
export function modprobeOption(
  lines: readonly ModprobeLine[],
  module: string,
  parameter: string,
): { readonly path: string; readonly value: string } | undefined {
  const found = lines
    .filter(({ command, module: name }) => command === 'options' && name === module)
    .flatMap(({ path, rest }) =>
      rest.flatMap((word) => {
        const [key = '', value = ''] = splitOnce(word);
        return normaliseKey(key) === normaliseKey(parameter) ? [{ path, value }] : [];
      }),
    );
  return found.at(-1);
}

function splitOnce(word: string): readonly [string, string] {
  const equals = word.indexOf('=');
  return equals < 0 ? [word, ''] : [word.slice(0, equals), word.slice(equals + 1)];
}

/** The file that keeps a module from being loaded, where one does. */
export function modprobeBlock(
  lines: readonly ModprobeLine[],
  module: string,
): { readonly path: string; readonly line: string } | undefined {
  const found = lines.find(({ command, module: name, rest }) => {
    if (name !== module) return false;
    if (command === 'blacklist') return true;
    return command === 'install' && /(^|\/)(false|true)$/.test(rest[0] ?? '');
  });
  return (
    found && { path: found.path, line: [found.command, found.module, ...found.rest].join(' ') }
  );
}
