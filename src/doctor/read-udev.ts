import type { HostEffects } from '../host/effects.js';
import { ifPresent, listOrNone } from '../host/reading.js';

/** The administrator's. */
export const RULES = '/etc/udev/rules.d';
/** In udev's order of precedence: of namesakes the first folder's counts (udev(7)). */
const ALL_RULES = [RULES, '/run/udev/rules.d', '/usr/lib/udev/rules.d', '/lib/udev/rules.d'];

export interface UdevLine {
  readonly path: string;
  /** File name, by which all folders' files are sorted together. */
  readonly file: string;
  readonly text: string;
}

/** Every line that is no comment, in the order in which udev reads them. @throws {HostIoError} */
export async function readUdevLines(
  effects: HostEffects,
  folders: readonly string[] = ALL_RULES,
): Promise<readonly UdevLine[]> {
  const paths = new Map<string, string>();
  for (const folder of folders) {
    for (const file of await listOrNone(effects, folder)) {
      if (file.endsWith('.rules') && !paths.has(file)) paths.set(file, `${folder}/${file}`);
    }
  }
  const lines: UdevLine[] = [];
  for (const [file, path] of [...paths].sort(([a], [b]) => (a < b ? -1 : 1))) {
    // A link to /dev/null masks a rule, and one to a file that is gone says nothing.
    const text = (await ifPresent(effects.read(path))) ?? '';
    for (const line of text.replace(/\\\n/g, ' ').split('\n')) {
      if (line.trim() !== '' && !line.trimStart().startsWith('#')) {
        lines.push({ path, file, text: line.trim() });
      }
    }
  }
  return lines;
}

/** What a line sets a key to; undefined where it does not, or by a variable. */
export function assigned(line: UdevLine, key: 'OWNER' | 'GROUP' | 'MODE'): string | undefined {
  return new RegExp(`(?:^|[\\s,])${key}:?="([^"$%]+)"`).exec(line.text)?.[1];
}
