import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import type { DefineCommand, RunWork } from './command-context.js';

interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  /** Loads the command and with it the engine. */
  readonly load: () => Promise<DefineCommand>;
}

const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'boot-args',
    summary: 'plan the ports of a VM that is about to be started',
    load: async () => (await import('./commands/boot-args.js')).defineBootArgs,
  },
  {
    name: 'attach',
    summary: 'give a running VM a device',
    load: async () => (await import('./commands/attach.js')).defineAttach,
  },
  {
    name: 'detach',
    summary: 'take a device back, and give it to its host driver',
    load: async () => (await import('./commands/detach.js')).defineDetach,
  },
  {
    name: 'status',
    summary: 'ports, attachments and removals of a VM',
    load: async () => (await import('./commands/status.js')).defineStatus,
  },
  {
    name: 'topology',
    summary: 'the devices of a VM as a tree',
    load: async () => (await import('./commands/topology.js')).defineTopology,
  },
  {
    name: 'devices',
    summary: "the host's PCI devices, their groups and who uses them",
    load: async () => (await import('./commands/devices.js')).defineDevices,
  },
  {
    name: 'doctor',
    summary: 'check the host, and whether a device can go to a VM',
    load: async () => (await import('./commands/doctor.js')).defineDoctor,
  },
  {
    name: 'host',
    summary: 'devices of the host: choose, reserve, bind, quarantine; and its set-up',
    load: async () => (await import('./commands/host/index.js')).defineHost,
  },
  {
    name: 'recover',
    summary: 'finish or undo what a crash left behind',
    load: async () => (await import('./commands/recover.js')).defineRecover,
  },
  {
    name: 'record',
    summary: 'write down what a client and QEMU say to each other',
    load: async () => (await import('./commands/record.js')).defineRecord,
  },
  {
    name: 'replay',
    summary: 'play a transcript on a socket, in the place of QEMU',
    load: async () => (await import('./commands/replay.js')).defineReplay,
  },
  {
    name: 'transcript',
    summary: 'check, show or import transcripts',
    load: async () => (await import('./commands/transcript.js')).defineTranscript,
  },
  {
    name: 'simulate',
    summary: 'serve a simulated QEMU, to try things without one',
    load: async () => (await import('./commands/simulate.js')).defineSimulate,
  },
  {
    name: 'events',
    summary: 'tell what happens in a VM, as it happens',
    load: async () => (await import('./commands/events.js')).defineEvents,
  },
];

const HELP = `
A VM is named by its QMP monitor: /run/vm.sock, unix:PATH, tcp:HOST:PORT,
ws://HOST:PORT (a bridge before a unix socket) or exec:COMMAND.
A device is named by its address (0000:3b:00.0, 3b:00.0, a path below /sys) or described: id:10de:* numa:0

Examples:
  qmplug boot-args --root-ports 8 --window 16G --memory 64G
  qmplug devices
  qmplug attach /run/vm.sock 0000:3b:00.0
  qmplug detach /run/vm.sock 0000:3b:00.0

Exit status:
  0  done                        4  failed, and undone
  1  unexpected                  5  still pending at the deadline
  2  usage                       6  state unknown: run recover
  3  refused, nothing changed    7  changes pending

Environment:
  QMPLUG_STATE_DIR               where the journal is kept; default /run/qmplug
  QMPLUG_RUN_DIR                 where locks and reservations are kept; default
                                 /run/qmplug. Only to practise without root: who
                                 keeps them elsewhere is not seen by the others
  QMPLUG_SYSFS_ROOT, QMPLUG_PROC_ROOT, QMPLUG_DEV_ROOT
                                 trees that stand in for /sys, /proc and /dev
  QMPLUG_PCI_IDS                 a pci.ids list to take instead of the host's
  QMPLUG_POLICY_FILE             rules on who may have what`;

/**
 * The command line. Only the commands in `wanted` are loaded; the others are there by name, for the help.
 */
export async function createProgram(run: RunWork, wanted: readonly string[]): Promise<Command> {
  const program = new Command('qmplug')
    .description('Gives a running virtual machine a physical device, and takes it back.')
    .usage('COMMAND [ARGUMENT...]')
    .version(readVersion(), '--version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print help for a command')
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .showSuggestionAfterError()
    .addHelpText('after', HELP);
  for (const { name, summary, load } of COMMANDS) {
    const command = wanted.includes(name)
      ? (await load())(program, run)
      : program.command(name).description(summary);
    command.summary(summary);
  }
  return program;
}

/** The names of all commands, in the order of the help. */
export const COMMAND_NAMES: readonly string[] = COMMANDS.map(({ name }) => name);

/** From the package's own manifest: two levels up, from the source as from what is built of it. */
function readVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
