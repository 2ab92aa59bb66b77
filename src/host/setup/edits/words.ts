import { changeWords, type ArgumentChange } from '../argument-changes.js';
import { parseCommandLine } from '../command-line.js';

/** Changes words in a file that is one command line, such as /etc/kernel/cmdline. */
export interface WordsEdit {
  readonly kind: 'words';
  readonly changes: readonly ArgumentChange[];
}

export function applyWords(text: string, { changes }: WordsEdit): string {
  const words = parseCommandLine(text).map((argument) => argument.text);
  const changed = changeWords(words, changes);
  if (changed.join('\0') === words.join('\0')) return text;
  return `${changed.join(' ')}${text === '' || text.endsWith('\n') ? '\n' : ''}`;
}
