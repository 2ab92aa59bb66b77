import { changeWords, type ArgumentChange } from '../argument-changes.js';
import { isCommentLine, splitForInit } from '../command-line.js';

/** Changes words in a file that is one command line, such as /etc/kernel/cmdline. */
export interface WordsEdit {
  readonly kind: 'words';
  readonly changes: readonly ArgumentChange[];
}

/** Comments stay on lines of their own: the words on one line with them would be none any more. */
export function applyWords(text: string, { changes }: WordsEdit): string {
  const lines = text.split('\n');
  const isOfWords = (line: string) => line.trim() !== '' && !isCommentLine(line);
  const changed = changeCommandLine(lines.filter(isOfWords).join('\n'), changes);
  if (changed === undefined) return text;
  const at = lines.findIndex(isOfWords);
  const comments = lines.filter(isCommentLine);
  if (comments.length === 0) return `${changed}${text === '' || text.endsWith('\n') ? '\n' : ''}`;
  if (at < 0) return `${[...comments, changed].join('\n')}\n`;
  return lines
    .flatMap((line, index) => (index === at ? [changed] : isOfWords(line) ? [] : [line]))
    .join('\n');
}

/** The line with its words changed and init's left behind them; undefined where it says the same already. */
export function changeCommandLine(
  line: string,
  changes: readonly ArgumentChange[],
): string | undefined {
  const { words, init } = splitForInit(line);
  const before = words.map((argument) => argument.text);
  const after = changeWords(before, changes);
  return after.join('\0') === before.join('\0') ? undefined : [...after, ...init].join(' ');
}
