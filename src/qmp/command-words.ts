import { InputError } from '../errors.js';

/** Characters that mean something to a shell: refused unless quoted, so that nobody expects it. */
const SHELL_ONLY = new Set('|&;<>()$`*?[]#~{}!\n');

const QUOTE_FREE = /^[A-Za-z0-9_@%+=:,./-]+$/;

/**
 * Splits a command line into words without a shell: blanks separate, single quotes take
 * everything literally, double quotes and a backslash quote as they do in POSIX sh, and nothing
 * is expanded. Whoever wants a shell names one: `sh -c '...'`.
 *
 * @throws {InputError} `BAD_ADDRESS` for an open quote, no words, NUL, or an unquoted character
 * that only a shell would understand.
 */
export function splitCommand(text: string): readonly [string, ...string[]] {
  const refuse = (reason: string) =>
    new InputError('BAD_ADDRESS', `Cannot split ${JSON.stringify(text)} into words: ${reason}`, {
      remedy: "quote it, or name a shell: exec:sh -c 'COMMAND'",
    });
  if (text.includes('\0')) throw refuse('it contains NUL');

  const words: string[] = [];
  let word: string | undefined;
  let at = 0;
  while (at < text.length) {
    const character = text.charAt(at);
    if (character === ' ' || character === '\t') {
      if (word !== undefined) words.push(word);
      word = undefined;
      at += 1;
    } else if (character === "'") {
      const end = text.indexOf("'", at + 1);
      if (end < 0) throw refuse('a single quote is open');
      word = (word ?? '') + text.slice(at + 1, end);
      at = end + 1;
    } else if (character === '"') {
      const quoted = readDoubleQuoted(text, at + 1);
      if (quoted === undefined) throw refuse('a double quote is open');
      word = (word ?? '') + quoted.content;
      at = quoted.end;
    } else if (character === '\\') {
      if (at + 1 === text.length) throw refuse('it ends in a backslash');
      word = (word ?? '') + text.charAt(at + 1);
      at += 2;
    } else if (SHELL_ONLY.has(character)) {
      throw refuse(`${JSON.stringify(character)} is not quoted`);
    } else {
      word = (word ?? '') + character;
      at += 1;
    }
  }
  if (word !== undefined) words.push(word);

  const [program, ...rest] = words;
  if (program === undefined || program === '') throw refuse('there is no program');
  return [program, ...rest];
}

function readDoubleQuoted(
  text: string,
  start: number,
): { readonly content: string; readonly end: number } | undefined {
  let content = '';
  for (let at = start; at < text.length; at++) {
    const character = text.charAt(at);
    if (character === '"') return { content, end: at + 1 };
    const next = text.charAt(at + 1);
    if (character === '\\' && ['"', '\\', '$', '`'].includes(next)) {
      content += next;
      at += 1;
    } else {
      content += character;
    }
  }
  return undefined;
}

/** Writes words so that `splitCommand` reads the same ones back. */
export function joinCommand(words: readonly string[]): string {
  return words
    .map((word) => (QUOTE_FREE.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`))
    .join(' ');
}
