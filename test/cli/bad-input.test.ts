import { existsSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import type { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { COMMAND_NAMES, createProgram } from '../../src/cli/program.js';
import { FLAGS, ROWS } from './bad-input-rows.js';
import { CliHome } from './run-cli.js';

/** A monitor that counts who comes; nobody may, for arguments that are wrong. */
class Door implements AsyncDisposable {
  readonly home = new CliHome();
  readonly address = join(this.home.directory, 'vm.sock');
  visitors = 0;
  readonly #server: Server = createServer((socket) => {
    this.visitors += 1;
    socket.destroy();
  });

  async open(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(this.address, resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise((resolve) => this.#server.close(resolve));
    this.home[Symbol.dispose]();
  }
}

const door = new Door();
beforeAll(() => door.open());
afterAll(() => door[Symbol.asyncDispose]());

async function refuses(args: readonly string[]): Promise<void> {
  const { status, document, stderr } = await door.home.json(
    args.map((arg) => (arg === 'VM' ? door.address : arg)),
  );
  expect({ args, status, document }).toMatchObject({ status: 2 });
  expect(document).toEqual({
    error: {
      code: expect.stringMatching(/^(BAD_[A-Z_]+|SYNTAX)$/) as unknown,
      message: expect.stringMatching(/./) as unknown,
      remedy: expect.stringMatching(/./) as unknown,
      details: expect.any(Object) as unknown,
      undone: [],
    },
  });
  expect(stderr).toMatch(/^qmplug: /);
  expect(door.visitors).toBe(0);
  expect(existsSync(door.home.env.QMPLUG_STATE_DIR)).toBe(false);
  expect(existsSync(door.home.env.QMPLUG_RUN_DIR)).toBe(false);
}

describe.each(Object.entries(ROWS))(
  '%s refuses, with status 2 and nothing changed,',
  (name, rows) => {
    const texts = Object.entries(rows.bad).flatMap(([flag, bad]) =>
      bad.map((value) => [flag, value] as const),
    );
    const words = name.split(' ');
    it.each(texts)('%s %j', (flag, value) =>
      refuses([...words, ...without(flag, rows.good), flag, value]),
    );
    it.each(rows.wholes.map((args) => [args]))('%j', (args) => refuses([...words, ...args]));
  },
);

/** An option that is given twice would be refused for that alone. */
function without(flag: string, args: readonly string[]): readonly string[] {
  const at = args.indexOf(flag);
  return at < 0 ? args : args.toSpliced(at, 2);
}

/** The commands that do something, each by the words that name it. */
function leafCommands(command: Command, above = ''): ReadonlyMap<string, Command> {
  return new Map(
    command.commands.flatMap((each): [string, Command][] => {
      const name = `${above}${each.name()}`;
      return each.commands.length === 0 ? [[name, each]] : [...leafCommands(each, `${name} `)];
    }),
  );
}

it('has bad input for every option of every command', async () => {
  const program = await createProgram(async () => undefined, COMMAND_NAMES);
  const leaves = leafCommands(program);
  const untested = [...leaves].flatMap(([name, { options }]) =>
    options
      .map(({ long }) => long ?? '')
      .filter((flag) => !FLAGS.includes(flag) && !(flag in (ROWS[name]?.bad ?? {})))
      .map((flag) => `${name} ${flag}`),
  );
  expect(untested).toEqual([]);
  expect(program.commands.map((command) => command.name())).toEqual(COMMAND_NAMES);
  expect(Object.keys(ROWS).sort()).toEqual([...leaves.keys()].sort());
});

it.each([
  [['host']],
  [['host', 'frobnicate']],
  [['host', 'quarantine']],
  [['frobnicate']],
  [['--frobnicate']],
  [['attch', 'VM']],
])('refuses %j', (args) => refuses(args));

it('answers no command at all with the help, on stderr', async () => {
  const { status, stdout, stderr } = await door.home.run([]);
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  expect(stderr).toContain('Commands:');
});
