/**
 * The kernel's command line as words. A word keeps the spelling it was written in; its key is compared with `-`
 * and `_` as the same character, as the kernel does (kernel/params.c, parameqn, 6.12).
 */
export interface KernelArgument {
  /** As written, quotes included. */
  readonly text: string;
  /** Normalised: every `-` is `_`. */
  readonly key: string;
  /** Without its quotes; undefined for a word without `=`. */
  readonly value: string | undefined;
}

/** The kernel's own words. */
export function parseCommandLine(text: string): readonly KernelArgument[] {
  return splitForInit(text).words;
}

/** A command line with the words behind `--` apart, `--` included: they are init's, and nobody's to lose. */
export function splitForInit(text: string): {
  readonly words: readonly KernelArgument[];
  readonly init: readonly string[];
} {
  const all = splitWords(text);
  const end = all.indexOf('--');
  const words = all.slice(0, end < 0 ? undefined : end).map(parseArgument);
  return { words, init: end < 0 ? [] : all.slice(end) };
}

/** Splits at spaces outside of double quotes (lib/cmdline.c, next_arg, 6.12). */
function splitWords(text: string): readonly string[] {
  const words: string[] = [];
  let word = '';
  let quoted = false;
  for (const character of text) {
    if (character === '"') quoted = !quoted;
    if (/\s/.test(character) && !quoted) {
      if (word !== '') words.push(word);
      word = '';
    } else {
      word += character;
    }
  }
  if (word !== '') words.push(word);
  return words;
}

/** A line of a file with a command line that is for people alone (mkinitcpio(8), ukify(1)). */
export const isCommentLine = (line: string) => /^\s*#/.test(line);

/** Reads one word; `"key=v w"` and `key="v w"` are the same argument. */
export function parseArgument(text: string): KernelArgument {
  const outer = /^"(.*)"$/.exec(text)?.[1] ?? text;
  const equals = outer.indexOf('=');
  if (equals < 0) return { text, key: normaliseKey(outer), value: undefined };
  const value = outer.slice(equals + 1);
  return {
    text,
    key: normaliseKey(outer.slice(0, equals)),
    value: /^"(.*)"$/.exec(value)?.[1] ?? value,
  };
}

/** Writes one word, with quotes where the value holds a space. */
export function formatArgument(key: string, value: string | undefined): string {
  if (value === undefined) return key;
  return /\s/.test(value) ? `${key}="${value}"` : `${key}=${value}`;
}

export function normaliseKey(key: string): string {
  return key.replaceAll('-', '_');
}

/**
 * Parameters whose value is a comma-separated list that one occurrence must carry whole: a second one replaces
 * the first (module parameters), or is easily lost.
 */
const LISTS: ReadonlySet<string> = new Set([
  'vfio_pci.ids',
  'module_blacklist',
  'modprobe.blacklist',
  'rd.driver.blacklist',
]);

/** Parameters that are read at every occurrence. */
const REPEATED: ReadonlySet<string> = new Set([
  'rd.driver.pre',
  'console',
  'hugepagesz',
  'hugepages',
]);

export function isListArgument(key: string): boolean {
  return LISTS.has(normaliseKey(key));
}

export function isRepeatedArgument(key: string): boolean {
  return REPEATED.has(normaliseKey(key));
}

/** The occurrences of a parameter, in either spelling. */
export function findArguments(
  line: readonly KernelArgument[],
  key: string,
): readonly KernelArgument[] {
  const wanted = normaliseKey(key);
  return line.filter((argument) => argument.key === wanted);
}

/** What the kernel makes of a scalar: the last occurrence wins. Undefined where it is absent. */
export function effectiveArgument(
  line: readonly KernelArgument[],
  key: string,
): KernelArgument | undefined {
  return findArguments(line, key).at(-1);
}

/** The elements of every occurrence of a list parameter, in order, each once. */
export function listElements(line: readonly KernelArgument[], key: string): readonly string[] {
  const all = findArguments(line, key).flatMap(({ value = '' }) => value.split(','));
  return [...new Set(all.filter((element) => element !== ''))];
}

/** Whether two words say the same: key in any spelling, value without its quotes. */
export function sameArgument(a: KernelArgument, b: KernelArgument): boolean {
  if (a.key !== b.key || (a.value === undefined) !== (b.value === undefined)) return false;
  // Dashes count in values, but not in the names of modules.
  const normal = (value = '') => (NAMES_MODULES.has(a.key) ? normaliseKey(value) : value);
  return normal(a.value) === normal(b.value);
}

const NAMES_MODULES: ReadonlySet<string> = new Set([
  'rd.driver.pre',
  'rd.driver.blacklist',
  'module_blacklist',
  'modprobe.blacklist',
]);
