import { BadValue } from './syntax-error.js';

/**
 * One instruction of a compiled pattern (R. Cox, "Regular Expression Matching: the Virtual Machine
 * Approach", 2009): take a character of a set, or go on at other places.
 */
type Instruction =
  { readonly take: (character: string) => boolean } | { readonly goto: readonly number[] };

const MAX_PATTERN = 256;
const MAX_PROGRAM = 2_000;
const MAX_REPEAT = 64;

const inRange = (from: string, to: string) => (character: string) =>
  from <= character && character <= to;
const digit = inRange('0', '9');
const word = (character: string) =>
  digit(character) || inRange('a', 'z')(character) || character === '_';
const space = (character: string) => ' \t'.includes(character);
const not = (test: (character: string) => boolean) => (character: string) => !test(character);

const CLASSES: Readonly<Partial<Record<string, (character: string) => boolean>>> = {
  d: digit,
  D: not(digit),
  w: word,
  W: not(word),
  s: space,
  S: not(space),
};

/**
 * Compiles the part of regular expressions that can be matched in linear time: characters, `.`,
 * `[...]`, `\d \w \s` and their negations, groups, `|`, `* + ?` and `{m,n}`. It has no backtracking, so no
 * look-around and no back-references. The whole text must match; case counts for nothing.
 *
 * @throws {BadValue} for anything else, or a pattern that is too long.
 */
export function compileRegex(source: string): (text: string) => boolean {
  if (source.length > MAX_PATTERN) throw new BadValue(`a pattern above ${MAX_PATTERN} characters`);
  const program = new Compiler(source).compile();
  return (text) => run(program, text.toLowerCase());
}

function run(program: readonly Instruction[], text: string): boolean {
  let places = follow(program, [0]);
  for (const character of text) {
    const next: number[] = [];
    for (const place of places) {
      const instruction = program[place];
      if (instruction !== undefined && 'take' in instruction && instruction.take(character)) {
        next.push(place + 1);
      }
    }
    if (next.length === 0) return false;
    places = follow(program, next);
  }
  return places.has(program.length);
}

function follow(program: readonly Instruction[], starts: readonly number[]): Set<number> {
  const places = new Set(starts);
  for (const place of places) {
    const instruction = program[place];
    if (instruction !== undefined && 'goto' in instruction) {
      for (const target of instruction.goto) places.add(place + target);
    }
  }
  return places;
}

/** Emits code that only jumps by distance, so that a piece can be copied for `{m,n}`. */
class Compiler {
  readonly #source: string;
  #at = 0;

  constructor(source: string) {
    this.#source = source;
  }

  compile(): readonly Instruction[] {
    const program = this.#alternatives();
    if (this.#at < this.#source.length) throw new BadValue('a ) that no ( opens');
    return program;
  }

  #alternatives(): Instruction[] {
    const left = this.#sequence();
    if (this.#source[this.#at] !== '|') return left;
    this.#at += 1;
    const right = this.#alternatives();
    return this.#checked([
      { goto: [1, left.length + 2] },
      ...left,
      { goto: [right.length + 1] },
      ...right,
    ]);
  }

  #sequence(): Instruction[] {
    const program: Instruction[] = [];
    for (;;) {
      const character = this.#source[this.#at];
      if (character === undefined || character === '|' || character === ')') break;
      program.push(...this.#repeated(this.#atom()));
    }
    return this.#checked(program);
  }

  #atom(): Instruction[] {
    const character = this.#source.charAt(this.#at);
    this.#at += 1;
    switch (character) {
      case '(': {
        if (this.#source.startsWith('?:', this.#at)) this.#at += 2;
        const inner = this.#alternatives();
        if (this.#source[this.#at] !== ')') throw new BadValue('a ( that no ) closes');
        this.#at += 1;
        return inner;
      }
      case '[':
        return [{ take: this.#set() }];
      case '.':
        return [{ take: () => true }];
      case '\\':
        return [{ take: this.#escape() }];
      case '*':
      case '+':
      case '?':
      case '{':
        throw new BadValue(`nothing that ${character} could repeat`);
      case '^':
      case '$':
        throw new BadValue(`${character} is not needed: the whole text must match`);
      case ']':
      case '}':
        throw new BadValue(`a ${character} that nothing opens`);
      default:
        return [{ take: literal(character) }];
    }
  }

  #repeated(atom: Instruction[]): Instruction[] {
    const [least, most] = this.#repeat();
    if ('*+?{'.includes(this.#source[this.#at] ?? ' ')) {
      throw new BadValue('a repetition of a repetition; write it in parentheses, or once');
    }
    if (least === 1 && most === 1) return atom;
    const program: Instruction[] = [];
    for (let count = 0; count < least; count += 1) program.push(...atom);
    if (most === Infinity) {
      program.push({ goto: [1, atom.length + 2] }, ...atom, { goto: [-atom.length - 1] });
    }
    for (let count = least; count < most && most !== Infinity; count += 1) {
      program.push({ goto: [1, atom.length + 1] }, ...atom);
      this.#checked(program);
    }
    return this.#checked(program);
  }

  #repeat(): readonly [number, number] {
    switch (this.#source[this.#at]) {
      case '*':
        this.#at += 1;
        return [0, Infinity];
      case '+':
        this.#at += 1;
        return [1, Infinity];
      case '?':
        this.#at += 1;
        return [0, 1];
      case '{': {
        const match = /^\{(\d{1,3})(?:(,)(\d{1,3})?)?\}/.exec(this.#source.slice(this.#at));
        if (!match) throw new BadValue('a { that is no {m}, {m,} or {m,n}');
        const [all, from = '', comma, to] = match;
        const least = Number(from);
        const most = comma === undefined ? least : to === undefined ? Infinity : Number(to);
        if (least > most) throw new BadValue(`the repetition ${all} runs backwards`);
        if (Math.max(least, most === Infinity ? 0 : most) > MAX_REPEAT) {
          throw new BadValue(`more than ${MAX_REPEAT} repetitions`);
        }
        this.#at += all.length;
        return [least, most];
      }
      default:
        return [1, 1];
    }
  }

  #escape(): (character: string) => boolean {
    const character = this.#source[this.#at];
    if (character === undefined) throw new BadValue('a \\ at the end');
    this.#at += 1;
    const named = CLASSES[character];
    if (named !== undefined) return named;
    if (/[A-Za-z0-9]/.test(character)) {
      throw new BadValue(
        `\\${character} is not known: there is \\d \\w \\s, and no back-reference`,
      );
    }
    return literal(character);
  }

  #set(): (character: string) => boolean {
    const negated = this.#source[this.#at] === '^';
    if (negated) this.#at += 1;
    const tests: ((character: string) => boolean)[] = [];
    for (let first = true; first || this.#source[this.#at] !== ']'; first = false) {
      const character = this.#source[this.#at];
      if (character === undefined) throw new BadValue('a [ that no ] closes');
      this.#at += 1;
      if (character === '\\') {
        tests.push(this.#escape());
        continue;
      }
      const to = this.#source[this.#at + 1];
      if (this.#source[this.#at] === '-' && to !== undefined && to !== ']') {
        this.#at += 2;
        const [low, high] = [character.toLowerCase(), to.toLowerCase()];
        if (low > high) throw new BadValue(`the range ${character}-${to} runs backwards`);
        tests.push(inRange(low, high));
      } else {
        tests.push(literal(character));
      }
    }
    this.#at += 1;
    return (character) => tests.some((test) => test(character)) !== negated;
  }

  #checked(program: Instruction[]): Instruction[] {
    if (program.length > MAX_PROGRAM) throw new BadValue('a pattern that is too large');
    return program;
  }
}

function literal(character: string): (text: string) => boolean {
  const folded = character.toLowerCase();
  return (each) => each === folded;
}
