import { parseArgument, sameArgument, type KernelArgument } from './command-line.js';

/** One change of the configured command line; words as they are written. */
export type ArgumentChange =
  | { readonly op: 'add'; readonly text: string }
  | { readonly op: 'remove'; readonly text: string }
  | { readonly op: 'replace'; readonly old: string; readonly text: string };

/** What takes the change back. */
export function invertChange(change: ArgumentChange): ArgumentChange {
  switch (change.op) {
    case 'add':
      return { op: 'remove', text: change.text };
    case 'remove':
      return { op: 'add', text: change.text };
    case 'replace':
      return { op: 'replace', old: change.text, text: change.old };
  }
}

const has = (line: readonly KernelArgument[], text: string) =>
  line.some((argument) => sameArgument(argument, parseArgument(text)));

/** Whether the line is as the change would make it. */
export function isChanged(line: readonly KernelArgument[], change: ArgumentChange): boolean {
  switch (change.op) {
    case 'add':
      return has(line, change.text);
    case 'remove':
      return !has(line, change.text);
    case 'replace':
      return has(line, change.text) && !has(line, change.old);
  }
}

/** The words after the changes; what is there already is not added twice. */
export function changeWords(
  words: readonly string[],
  changes: readonly ArgumentChange[],
): readonly string[] {
  const same = (a: string, b: string) => sameArgument(parseArgument(a), parseArgument(b));
  return changes.reduce<readonly string[]>((line, change) => {
    switch (change.op) {
      case 'add':
        return line.some((word) => same(word, change.text)) ? line : [...line, change.text];
      case 'remove':
        return line.filter((word) => !same(word, change.text));
      case 'replace':
        return line.map((word) => (same(word, change.old) ? change.text : word));
    }
  }, words);
}

/** `+iommu=pt`, `-iommu=pt`, `a=1 -> a=2`. */
export function describeChange(change: ArgumentChange): string {
  if (change.op === 'replace') return `${change.old} -> ${change.text}`;
  return `${change.op === 'add' ? '+' : '-'}${change.text}`;
}
