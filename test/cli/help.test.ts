import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { COMMAND_NAMES, createProgram } from '../../src/cli/program.js';
import { cli, documentOf } from './run-cli.js';

const ROOT = join(import.meta.dirname, '../..');
const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  version: string;
};

it('prints the version of the package', async () => {
  expect(await cli(['--version'])).toEqual({
    status: 0,
    stdout: `${manifest.version}\n`,
    stderr: '',
  });
  expect(documentOf(await cli(['--version', '--json']))).toEqual({ version: manifest.version });
});

const all = await createProgram(async () => undefined, COMMAND_NAMES);
/** What can be run: every command, or the commands of one that has its own. */
const RUNNABLE = all.commands.flatMap((command) =>
  command.commands.length === 0
    ? [{ name: command.name(), command }]
    : command.commands.map((inner) => ({
        name: `${command.name()} ${inner.name()}`,
        command: inner,
      })),
);

describe.each(RUNNABLE)('the help of $name', ({ name, command }) => {
  const path = name.split(' ');

  it('has examples, the JSON, and a line for every argument and option', async () => {
    const { status, stdout, stderr } = await cli([...path, '--help']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const [, examples = ''] = stdout.split('Examples:\n');
    expect(examples).toContain(`  qmplug ${name}`);
    expect(stdout).toContain('JSON: ');
    const flags = command.options.map(({ long }) => long ?? '');
    expect(flags).toContain('--json');
    for (const flag of flags) expect(stdout).toMatch(new RegExp(`^  (-\\w, )?${flag}\\b`, 'm'));
  });

  it('is the same after `help`, and one document with --json', async () => {
    const { stdout } = await cli([...path, '--help']);
    if (path.length === 1) expect((await cli(['help', name])).stdout).toBe(stdout);
    expect(documentOf(await cli([...path, '--help', '--json']))).toEqual({ help: stdout.trim() });
  });

  it('shows examples that the command line can read', async () => {
    const { stdout } = await cli([...path, '--help']);
    const examples = stdout.match(/^ {2}qmplug .*$/gm) ?? [];
    expect(examples.length).toBeGreaterThan(0);
    for (const example of examples) {
      const ran: string[] = [];
      // An example may lead on to another command.
      const args = words(example).slice(1);
      const program = await createProgram(async () => {
        ran.push(example);
      }, args);
      for (const each of [program, ...program.commands]) each.exitOverride();
      await program.parseAsync(args, { from: 'user' });
      expect(ran).toEqual([example]);
    }
  });
});

it('names every command, every exit status and every variable in the first help', async () => {
  const { status, stdout } = await cli(['--help']);
  expect(status).toBe(0);
  for (const name of COMMAND_NAMES) expect(stdout).toMatch(new RegExp(`^  ${name} `, 'm'));
  for (const exit of [0, 1, 2, 3, 4, 5, 6, 7])
    expect(stdout).toMatch(new RegExp(`\\b${exit}  \\w`));
  expect(stdout).toContain('QMPLUG_STATE_DIR');
});

it('starts without the engine: only a command loads it', () => {
  const reached = new Set<string>();
  const follow = (file: string) => {
    if (reached.has(file)) return;
    reached.add(file);
    const text = readFileSync(file, 'utf8');
    for (const [, path = ''] of text.matchAll(/^(?:import|export) (?!type)[^;]*?'(\.[^']+)'/gm)) {
      follow(join(dirname(file), path.replace(/\.js$/, '.ts')));
    }
  };
  follow(join(ROOT, 'src/cli/main.ts'));
  expect([...reached].map((file) => relative(ROOT, file)).sort()).toEqual([
    'src/cli/main.ts',
    'src/cli/program.ts',
    'src/cli/run.ts',
  ]);
});

/** Splits at spaces, but for what single quotes hold together. */
function words(line: string): readonly string[] {
  return [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');
}

it.each([
  [['attach', '--nope'], 'qmplug attach --help'],
  [['host', 'resolve', '--nope'], 'qmplug host resolve --help'],
  [['host', 'nope'], 'qmplug host --help'],
  [['host', '--nope'], 'qmplug host --help'],
  [['nope'], 'qmplug --help'],
])('after a mistake in %j it points to %s', async (args, remedy) => {
  const { error } = documentOf(await cli([...args, '--json']));
  expect(error).toMatchObject({ code: 'BAD_ARGUMENT', remedy: `see: ${remedy}` });
});
