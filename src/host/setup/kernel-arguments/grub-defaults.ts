import { HostError } from '../../../errors.js';
import { parseCommandLine, type KernelArgument } from '../command-line.js';
import { textOf } from '../file-state.js';
import type { SetupHost } from '../setup-host.js';
import type { ConfiguredArguments } from './backend.js';

export const DEFAULTS = '/etc/default/grub';
export const DROP_INS = '/etc/default/grub.d';
/** In the order in which 10_linux puts them on the line (GRUB 2.06). */
export const VARIABLES = ['GRUB_CMDLINE_LINUX', 'GRUB_CMDLINE_LINUX_DEFAULT'] as const;

type Values = Readonly<Record<(typeof VARIABLES)[number], string>>;

/**
 * What the files assign to the two variables, in the order in which grub-mkconfig sources them. References to
 * the two are followed; whatever else only a shell can tell is not guessed at.
 *
 * @throws {HostError} `HOST_UNREADABLE`
 */
export async function readGrubDefaults(
  host: SetupHost,
  paths: readonly string[],
): Promise<ConfiguredArguments> {
  let values: Values = { GRUB_CMDLINE_LINUX: '', GRUB_CMDLINE_LINUX_DEFAULT: '' };
  const files: { path: string; variable: string; words: readonly KernelArgument[] }[] = [];
  for (const path of paths) {
    const text = textOf(await host.readFile(path)) ?? '';
    for (const variable of VARIABLES) {
      const before = values[variable];
      values = evaluate(text, values, path, variable);
      const own = values[variable].startsWith(before)
        ? values[variable].slice(before.length)
        : values[variable];
      files.push({ path, variable, words: parseCommandLine(own) });
    }
  }
  return { words: parseCommandLine(VARIABLES.map((name) => values[name]).join(' ')), files };
}

export async function dropIns(host: SetupHost): Promise<readonly string[]> {
  const names = (await host.list(DROP_INS)).filter((name) => name.endsWith('.cfg'));
  return names.map((name) => `${DROP_INS}/${name}`);
}

function evaluate(text: string, values: Values, path: string, variable: keyof Values): Values {
  const assignment = new RegExp(`^[ \\t]*(?:export[ \\t]+)?${variable}(\\+?)=(.*)$`, 'gm');
  let result = values;
  for (const [, plus, raw = ''] of text.matchAll(assignment)) {
    const value = expand(raw, result);
    if (value === undefined) {
      throw new HostError(
        'HOST_UNREADABLE',
        `${path}: only a shell can tell what ${variable} is: ${raw}`,
        {
          remedy: `write ${variable} as one string in double quotes`,
          details: { path, variable },
        },
      );
    }
    result = { ...result, [variable]: plus === '+' ? result[variable] + value : value };
  }
  return result;
}

function expand(raw: string, values: Values): string | undefined {
  const single = /^'([^']*)'\s*(?:#.*)?$/.exec(raw);
  if (single) return single[1] ?? '';
  const plain = /^[^\s"'\\$`;#&|<>()]*\s*$/.exec(raw);
  if (plain) return raw.trim();
  const inner = /^"((?:[^"\\]|\\.)*)"\s*(?:#.*)?$/.exec(raw)?.[1];
  if (inner === undefined) return undefined;
  let isKnown = true;
  const value = inner.replace(
    // What only begins like a reference, `$(...)` or `${NAME:+...}`, is none of the two.
    /\\(["\\$`])|\$(?:\{(\w+)\}|(\w+))|[$`]/g,
    (_, escaped?: string, braced?: string, bare?: string) => {
      if (escaped !== undefined) return escaped;
      const known = VARIABLES.find((variable) => variable === (braced ?? bare));
      if (known !== undefined) return values[known];
      isKnown = false;
      return '';
    },
  );
  return isKnown ? value : undefined;
}
