/**
 * Lines of ours between two marks, in a file that others write too. The file gets a newline at its end if it has
 * none, and loses it again with the block.
 */
export interface BlockEdit {
  readonly kind: 'block';
  readonly lines: readonly string[];
}

const BEGIN = '# BEGIN qmplug';
const END = '# END qmplug';

export function applyBlock(text: string, { lines }: BlockEdit): string {
  const without = revertBlock(text);
  const glue = without === '' || without.endsWith('\n') ? '' : '\n';
  // A block behind an unfinished line carries that in its first mark, so that both come off together.
  const begin = glue === '' ? BEGIN : `${BEGIN} (line ended)`;
  return `${without}${glue}${[begin, ...lines, END, ''].join('\n')}`;
}

export function revertBlock(text: string): string {
  return text
    .replace(/\n# BEGIN qmplug \(line ended\)\n(?:(?!# END qmplug\n).*\n)*?# END qmplug\n$/, '')
    .replace(
      /(^|\n)# BEGIN qmplug(?: \(line ended\))?\n(?:(?!# END qmplug\n).*\n)*?# END qmplug\n/,
      '$1',
    );
}
