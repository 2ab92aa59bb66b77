import { BadValue } from './syntax-error.js';

/** One place of a glob: a set of characters, or a run of any length. */
type Part =
  | { readonly kind: 'one'; readonly test: (character: string) => boolean }
  | { readonly kind: 'run'; readonly crosses: boolean };

/** `*` and `?` stop at what separates the parts of an address; only `**` goes on. */
const SEPARATORS = ':.';
const isInside = (character: string) => !SEPARATORS.includes(character);

export const GLOB_CHARACTERS = /[*?[\]\\]/;

/** Whether the text has a wildcard or an escape, and so is more than itself. */
export function isGlob(text: string): boolean {
  return GLOB_CHARACTERS.test(text);
}

/** The pattern that matches only this text. */
export function escapeGlob(text: string): string {
  return text.replace(/[*?[\]\\]/g, '\\$&');
}

/** The one text a pattern without wildcards matches; undefined where it has any. */
export function literalOf(pattern: string): string | undefined {
  const plain = pattern.replace(/\\([\s\S])/g, '');
  return /[*?[\]]/.test(plain) ? undefined : pattern.replace(/\\([\s\S])/g, '$1');
}

/** Whether the pattern consists of runs alone: it excludes no value, or no shape that there is. */
export function isUniversal(pattern: string): boolean {
  return /^[*:.]*\*[*:.]*$/.test(pattern);
}

/**
 * Compiles a glob: `*` any characters but `:` and `.`, `**` any at all, `?` one character but those,
 * `[a-f]` and `[!a-f]` one of a set, `\` takes the next character as it is. The whole text must
 * match. Work per match is at most length of the pattern times length of the text.
 *
 * @throws {BadValue} a bracket that is not closed, or a range that runs backwards.
 */
export function compileGlob(pattern: string): (text: string) => boolean {
  const parts = parse(pattern);
  return (text) => matches(parts, text);
}

function parse(pattern: string): readonly Part[] {
  const parts: Part[] = [];
  for (let at = 0; at < pattern.length; at += 1) {
    const character = pattern.charAt(at);
    switch (character) {
      case '*': {
        const crosses = pattern[at + 1] === '*';
        while (pattern[at + 1] === '*') at += 1;
        parts.push({ kind: 'run', crosses });
        break;
      }
      case '?':
        parts.push({ kind: 'one', test: isInside });
        break;
      case '[': {
        const end = pattern.indexOf(']', pattern[at + 1] === '!' ? at + 3 : at + 2);
        if (end < 0) throw new BadValue('a [ that no ] closes');
        parts.push({ kind: 'one', test: setOf(pattern.slice(at + 1, end)) });
        at = end;
        break;
      }
      case ']':
        throw new BadValue('a ] that no [ opens');
      case '\\': {
        at += 1;
        const literal = pattern[at];
        if (literal === undefined) throw new BadValue('a \\ at the end');
        parts.push({ kind: 'one', test: (each) => each === literal });
        break;
      }
      default:
        parts.push({ kind: 'one', test: (each) => each === character });
    }
  }
  return parts;
}

function setOf(body: string): (character: string) => boolean {
  const negated = body.startsWith('!');
  const members = negated ? body.slice(1) : body;
  const ranges: (readonly [string, string])[] = [];
  for (let at = 0; at < members.length; at += 1) {
    const from = members.charAt(at);
    const isRange = members[at + 1] === '-' && at + 2 < members.length;
    const to = isRange ? members.charAt(at + 2) : from;
    if (isRange) at += 2;
    if (from > to) throw new BadValue(`the range ${from}-${to} runs backwards`);
    ranges.push([from, to]);
  }
  return (character) =>
    ranges.some(([from, to]) => from <= character && character <= to) !== negated &&
    (!negated || isInside(character));
}

/**
 * Every set of reachable places at once, so no pattern makes it slow: a place is how many parts are
 * behind.
 */
function matches(parts: readonly Part[], text: string): boolean {
  let places = closure(parts, new Set([0]));
  for (const character of text) {
    const next = new Set<number>();
    for (const place of places) {
      const part = parts[place];
      if (part === undefined) continue;
      if (part.kind === 'run') {
        if (part.crosses || isInside(character)) next.add(place);
      } else if (part.test(character)) {
        next.add(place + 1);
      }
    }
    if (next.size === 0) return false;
    places = closure(parts, next);
  }
  return places.has(parts.length);
}

/** A run may be empty. */
function closure(parts: readonly Part[], places: Set<number>): Set<number> {
  for (const place of places) if (parts[place]?.kind === 'run') places.add(place + 1);
  return places;
}
