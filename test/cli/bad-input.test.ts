import { existsSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import type { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { COMMAND_NAMES, createProgram } from '../../src/cli/program.js';
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

/** Bad texts for each option that takes a value, and good arguments to go with them. */
interface OptionRows {
  readonly good: readonly string[];
  readonly bad: Readonly<Record<string, readonly string[]>>;
  /** Argument lists that are wrong as a whole, `VM` standing for the door. */
  readonly wholes: readonly (readonly string[])[];
}

const DEVICE = '{"driver":"pci-testdev"}';
const TIMEOUTS = ['', '-1', '1s', 'NaN', 'Infinity', '1e3', '0x10', '86401', ' 1', '1.'];
const PIDS = ['', '0', '-1', '1.5', 'qemu', '12345678901'];
const COUNTS = ['', '-1', '1.5', '0x2', 'many', '1e2'];
const SIZES = ['', '-1', '1.5G', '5x', 'G', '0x10', '1 G'];
const REASONS = ['', '*', 'In-Use', 'in use', 'in-use.', '-x', '../x'];
const SOCKETS = ['', 'tcp:localhost:1', 'ws://localhost/', 'exec:cat', 'x'.repeat(108), 'unix:'];
const TRANSCRIPT = join(
  import.meta.dirname,
  '../../fixtures/qmp-transcripts/7.2.22/q35/attach.jsonl',
);
const OUTPUTS = ['', '/', '/nowhere/at/all/x.jsonl'];
const REPLIES = join(import.meta.dirname, '../transcript/logs/replies-alone.replies');
const VM_OPTIONS = { '--timeout': TIMEOUTS, '--qemu-pid': PIDS };

const ROWS: Readonly<Record<string, OptionRows>> = {
  'boot-args': {
    good: [],
    bad: {
      '--machine': [''],
      '--root-ports': [...COUNTS, '0', '193', '241'],
      '--window': SIZES,
      '--memory-window': SIZES,
      '--for': ['', 'gpu', '3b:00', '0000:3b:20.0', '0000:3b:00.8', '../../etc'],
      '--members': ['', 'all', 'Group', 'slot'],
      '--firmware': ['', 'SeaBIOS', 'uboot'],
      '--memory': [...SIZES, '0'],
      '--hotplug-memory': SIZES,
      '--phys-bits': [...COUNTS, '31', '53'],
      '--hotplug': ['', 'shpc', 'ACPI'],
      '--first-device': [...COUNTS, '0', '31'],
      '--port-limit': [...COUNTS, '0', '241'],
      '--mmio64': [...SIZES, '64G'],
    },
    wholes: [['surplus'], ['--root-ports', '2', '--root-ports', '3'], ['--window']],
  },
  attach: {
    good: ['VM', '0000:3b:00.0'],
    bad: {
      '--port': [''],
      '--members': ['', 'all', 'Device', 'device,slot'],
      '--wait': ['', 'guest!', 'PLACED'],
      '--allow': REASONS,
      '--device': ['', 'pci-testdev', '{', '[]', 'null', '1', '"x"', '{"driver":1e999}'],
      '--id': ['', '0', '-a', 'a b', 'a/b', 'ä', 'a\n', 'x'.repeat(129)],
      ...VM_OPTIONS,
    },
    wholes: [
      [],
      ['VM'],
      ['VM', '0000:3b:00.0', 'surplus'],
      ['VM', 'gpu'],
      ['VM', '../0000:3b:00.0'],
      ['VM', '0000:3b:00.0', '--id', 'dev0'],
      ['VM', '0000:3b:00.0', '--device', DEVICE, '--id', 'dev0'],
      ['VM', '--device', DEVICE],
      ['VM', '--id', 'dev0'],
      ['VM', '--device', DEVICE, '--id', 'dev0', '--members', 'slot'],
      ['VM', '--device', DEVICE, '--id', 'dev0', '--id', 'dev1'],
      ['VM', '0000:3b:00.0', '--force'],
      ['vm', '0000:3b:00.0'],
      ['', '0000:3b:00.0'],
      ['ftp://host', '0000:3b:00.0'],
      ['tcp:host', '0000:3b:00.0'],
    ],
  },
  detach: {
    good: ['VM', 'dev0'],
    bad: { '--allow': REASONS, ...VM_OPTIONS },
    wholes: [
      [],
      ['VM'],
      ['VM', 'dev0', 'dev1'],
      ['VM', 'dev0', '--wait'],
      ['vm', 'dev0'],
      ['VM', 'dev0', '--timeout', '1', '--timeout', '2'],
    ],
  },
  status: { good: ['VM'], bad: VM_OPTIONS, wholes: [[], ['VM', 'surplus'], ['vm']] },
  topology: {
    good: ['VM'],
    bad: { '--format': ['', 'dot', 'JSON'], ...VM_OPTIONS },
    wholes: [[], ['VM', 'surplus'], ['vm'], ['VM', '--format', 'tree', '--json']],
  },
  devices: { good: [], bad: {}, wholes: [['a', 'b'], ['gpu'], ['3b:00'], ['--all']] },
  record: {
    good: ['VM'],
    bad: {
      '--listen': SOCKETS,
      '--output': OUTPUTS,
      '--scenario': [''],
    },
    wholes: [
      [],
      ['VM'],
      ['vm', '--listen', 'x.sock'],
      ...SOCKETS.map((socket) => ['VM', '--listen', socket]),
      ['VM', 'VM', '--listen', 'x.sock'],
      ['VM', '--listen', 'x.sock', '--listen', 'y.sock'],
    ],
  },
  replay: {
    good: [TRANSCRIPT],
    bad: { '--listen': SOCKETS },
    wholes: [
      [],
      [TRANSCRIPT],
      ['/nowhere.jsonl', '--listen', 'x.sock'],
      ['/', '--listen', 'x.sock'],
      [import.meta.filename, '--listen', 'x.sock'],
      [TRANSCRIPT, 'surplus', '--listen', 'x.sock'],
      [TRANSCRIPT, '--listen', 'x.sock', '--timing', '5'],
    ],
  },
  transcript: {
    good: ['import', REPLIES],
    bad: {
      '--format': ['', 'json', 'LINES'],
      '--output': OUTPUTS,
      '--commands': ['', '/nowhere.jsonl', TRANSCRIPT],
      '--qemu': ['', '7', 'v7.2', '7.2.22-rc1', '7.2.22.1', '-7.2'],
      '--machine': [''],
      '--scenario': [''],
    },
    wholes: [
      [],
      ['check'],
      ['show'],
      ['frob', TRANSCRIPT],
      ['show', TRANSCRIPT, TRANSCRIPT],
      ['import', TRANSCRIPT, TRANSCRIPT],
      ['import', TRANSCRIPT],
      ['import', import.meta.filename],
      ['show', import.meta.filename],
      ['show', '/nowhere.jsonl'],
      ['check', '/nowhere.jsonl'],
      ['show', '/'],
      ['check', TRANSCRIPT, '--qemu', '7.2'],
      ['show', TRANSCRIPT, '--output', 'x.jsonl'],
    ],
  },
  simulate: {
    good: [],
    bad: {
      '--listen': SOCKETS,
      '--qemu': ['', '7', '9.0', '7.2.22'],
      '--machine': ['', 'pc', 'virt'],
      '--ports': [...COUNTS, '30', '999999999'],
      '--hotplug': ['', 'shpc', 'ACPI'],
      '--guest': ['', 'windows', 'Linux'],
      '--window': SIZES,
      '--memory': SIZES,
      '--seed': [''],
    },
    wholes: [
      [],
      ['--ports', '2'],
      ['surplus', '--listen', 'x.sock'],
      ['--listen', 'x.sock', '--ports', '30'],
      ['--listen', 'x.sock', '--ports', '2', '--ports', '3'],
    ],
  },
  events: {
    good: ['VM'],
    bad: { ...VM_OPTIONS, '--interval': TIMEOUTS },
    wholes: [[], ['VM', 'surplus'], ['vm'], ['tcp:x:0']],
  },
  'host bind': {
    good: ['0000:3b:00.0'],
    bad: { '--members': ['', 'all'], '--allow': REASONS, '--timeout': TIMEOUTS },
    wholes: [[], ['gpu'], ['0000:3b:00.0', '../x'], ['0000:3b:00.0', '--force']],
  },
  'host release': {
    good: ['0000:3b:00.0'],
    bad: { '--members': ['', 'all'], '--timeout': TIMEOUTS },
    wholes: [[], ['gpu'], ['0000:3b:00.0', 'gpu'], ['0000:3b:00.0', '--force']],
  },
  'host vfs': {
    good: ['0000:5e:00.0', '2'],
    bad: { '--allow': REASONS, '--timeout': TIMEOUTS },
    wholes: [[], ['0000:5e:00.0'], ['gpu', '2'], ...COUNTS.map((bad) => ['0000:5e:00.0', bad])],
  },
  'host mdev list': { good: [], bad: {}, wholes: [['surplus'], ['--all']] },
  'host mdev create': {
    good: ['mtty', 'mtty-2'],
    bad: { '--uuid': ['', 'x', '83b8f4f2'], '--vm': [''], '--name': [''] },
    wholes: [
      [],
      ['mtty'],
      ['../mtty', 'mtty-2', '--vm', 'a', '--name', 'b'],
      ['mtty', '../x', '--vm', 'a', '--name', 'b'],
      ['mtty', 'mtty-2', '--vm', 'a'],
      ['mtty', 'mtty-2', '--uuid', '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001', '--name', 'b'],
    ],
  },
  'host mdev remove': {
    good: ['83b8f4f2-509f-382f-3c1e-e6bfe0fa1001'],
    bad: {},
    wholes: [[], ['gpu'], ['../x'], ['83b8f4f2-509f-382f-3c1e-e6bfe0fa1001', 'surplus']],
  },
  'host quarantine list': { good: [], bad: {}, wholes: [['surplus'], ['--all']] },
  'host quarantine release': {
    good: ['0000:3b:00.0'],
    bad: {},
    wholes: [[], ['gpu'], ['../../etc/passwd'], ['0000:3b:00.0', '0000:3b:00.1']],
  },
  doctor: {
    good: [],
    bad: {
      '--device': ['', 'gpu', '3b:00', '0000:3b:20.0', '../../etc'],
      '--vm': ['', 'vm', 'tcp:x:0', 'ws://localhost/'],
      '--only': ['', 'frobnicate', 'iommu.frobnicate', '[', 'iommu.[', '../x'],
      '--skip': ['', 'frobnicate', ']', '\\'],
      '--profile': ['', 'Static', 'cold'],
      ...VM_OPTIONS,
    },
    wholes: [
      ['surplus'],
      ['--timeout', '1'],
      ['--qemu-pid', '1'],
      ['--profile', 'static', '--profile', 'hotplug'],
      ['--vm', 'VM', '--only', 'frobnicate'],
      ['--vm', 'VM', '--device', 'gpu'],
    ],
  },
  recover: { good: ['VM'], bad: VM_OPTIONS, wholes: [['VM', 'surplus'], ['vm'], ['tcp:x:0']] },
};

/** Options without a value: there is no bad text for them. */
const FLAGS = [
  '--json',
  '--dry-run',
  '--no-wait',
  '--once',
  '--show-secrets',
  '--timing',
  '--paused',
  '--reconnect',
  '--strict',
  '--all',
];

async function refuses(args: readonly string[]): Promise<void> {
  const { status, document, stderr } = await door.home.json(
    args.map((arg) => (arg === 'VM' ? door.address : arg)),
  );
  expect({ args, status, document }).toMatchObject({ status: 2 });
  expect(document).toEqual({
    error: {
      code: expect.stringMatching(/^(BAD_[A-Z]+|SYNTAX)$/) as unknown,
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
    it.each(texts)('%s %j', (flag, value) => refuses([...words, ...rows.good, flag, value]));
    it.each(rows.wholes.map((args) => [args]))('%j', (args) => refuses([...words, ...args]));
  },
);

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
