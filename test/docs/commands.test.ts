import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { beforeAll, describe, expect, it } from 'vitest';
import { COMMAND_NAMES, createProgram } from '../../src/cli/program.js';
import { TIERS } from '../../scripts/test-tiers.mjs';
import { codeBlocks, codeSpans, readDocuments, ROOT, type Document } from './documents.js';

const documents = readDocuments();
let commands: ReadonlyMap<string, Command>;

beforeAll(async () => {
  const program = await createProgram(() => Promise.resolve(), COMMAND_NAMES);
  // A command with commands of its own is named with them: `host plan`.
  commands = new Map(
    program.commands.flatMap((command) => [
      [command.name(), command] as const,
      ...command.commands.map((inner) => [`${command.name()} ${inner.name()}`, inner] as const),
    ]),
  );
});

/** Lines and spans that a reader may type, without prompt. */
function typed(document: Document): readonly string[] {
  const lines = codeBlocks(document, ['console', 'sh', 'bash', 'text', '']).flatMap((block) =>
    block.replaceAll('\\\n', ' ').split('\n'),
  );
  return [...lines, ...codeSpans(document)].map((line) => line.trim().replace(/^[$#] /, ''));
}

/** Every `qmplug ...` in a line, those in `$(...)` included, each as its words. */
function calls(line: string): readonly (readonly string[])[] {
  return [...line.matchAll(/(?:^|\$\(|; )qmplug ([^()|;]*)/g)].map(([, rest = '']) =>
    rest.trim().split(/\s+/),
  );
}

/** The innermost command that the words name; undefined where the first names none. */
function resolveCommand([name = '', ...rest]: readonly string[]): Command | undefined {
  let command = commands.get(name);
  for (const word of rest) {
    const inner = command?.commands.find((each) => each.name() === word);
    if (inner === undefined) break;
    command = inner;
  }
  return command;
}

const withSubcommands = (command: Command): readonly Command[] => [
  command,
  ...command.commands.flatMap(withSubcommands),
];

/** Options that belong to qmplug although no command is named beside them. */
const allFlags = () =>
  new Set(
    [...commands.values()]
      .flatMap(withSubcommands)
      .flatMap(({ options }) => options.map(({ long }) => long)),
  );

describe.each(documents)('$path', (document) => {
  it('names commands and options that exist', () => {
    const wrong = typed(document)
      .flatMap(calls)
      .flatMap((words) => {
        const [name = '', ...rest] = words;
        if (name.startsWith('-') || name === 'COMMAND') return [];
        const command = resolveCommand(words);
        if (command === undefined) return [`qmplug ${name}`];
        const flags = [...command.options.map(({ long }) => long), '--help'];
        return rest
          .filter((word) => word.startsWith('--') && !flags.includes(word.split('=')[0]))
          .map((word) => `qmplug ${name} ${word}`);
      });
    expect(wrong).toEqual([]);
  });

  it('names no option by itself that nothing has', () => {
    const others = ['--no-install', '--vfio', '--tier', '--ci', '--summary', '--project', '--help'];
    const known = new Set([...allFlags(), '--version', ...others]);
    const spans = codeSpans(document).flatMap((span) => /^--[a-z][\w-]*/.exec(span)?.[0] ?? []);
    expect(spans.filter((flag) => !known.has(flag))).toEqual([]);
  });

  it('names npm scripts and tiers that exist', () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    const named = typed(document).flatMap((line) =>
      [...line.matchAll(/\bnpm run ([\w:-]+)/g)].map(([, name = '']) => name),
    );
    expect(named.filter((name) => !Object.hasOwn(scripts, name))).toEqual([]);
    const tiers = typed(document).flatMap((line) =>
      [...line.matchAll(/--tier ([a-z]+)/g)].map(([, name]) => name),
    );
    expect(tiers.filter((name) => !TIERS.some((tier) => tier.name === name))).toEqual([]);
  });
});
