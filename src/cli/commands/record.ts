import { basename } from 'node:path';
import type { Command } from 'commander';
import { QmplugError } from '../../index.js';
import {
  connectQmp,
  connectTransport,
  listenUnix,
  parseAddress,
  socketPath,
} from '../../qmp/index.js';
import {
  formatEntry,
  formatHeader,
  machineName,
  recordSessions,
  type RecordedSessions,
  type TranscriptHeader,
} from '../../testing.js';
import type { CommandContext, RunWork } from '../command-context.js';
import { EXIT } from '../exit-status.js';
import { createFile } from '../files.js';
import { once, text } from '../option-values.js';
import { addJsonOption } from '../vm-options.js';

interface RecordOptions {
  readonly listen: string;
  readonly output?: string;
  readonly scenario?: string;
  readonly showSecrets?: true;
  readonly once?: true;
}

const HELP = `
Examples:
  qmplug record /run/vm.sock --listen /run/recorded.sock -o attach.jsonl
  qmplug record /run/vm.sock --listen ./recorded.sock --once

Point a client at the new socket: it talks to QEMU as before, and every message is written down. Clients are served
one after the other, as QEMU does. It ends with Ctrl-C, with --once after the first client, or with QEMU. Passwords
and other secrets in commands are written as "(masked)". File descriptors cannot pass: QEMU refuses the command.

JSON: the transcript itself, one line a message; it is what is printed without -o too.`;

export function defineRecord(program: Command, run: RunWork): Command {
  const command = program
    .command('record')
    .description('Stands between QEMU and its clients and records what they say, as a transcript.')
    .argument('<vm>', "the VM's QMP monitor, which must be free")
    .requiredOption('--listen <socket>', 'where clients connect', once('--listen', text))
    .option('-o, --output <file>', 'a new file for the transcript', once('--output', text))
    .option(
      '--scenario <name>',
      "name of the recording (default: the file's)",
      once('--scenario', text),
    )
    .option('--once', 'end after the first client')
    .option('--show-secrets', 'write secrets as they are')
    .addHelpText('after', HELP);
  return addJsonOption(command).action(
    (address: string, options: RecordOptions & { readonly json?: true }) =>
      run((context) => record(address, options, context), { changesNothing: true }),
  );
}

async function record(
  address: string,
  options: RecordOptions & { readonly json?: true },
  { environment, output, signal }: CommandContext,
): Promise<number> {
  const { output: path, listen, once, showSecrets } = options;
  const target = parseAddress(address);
  socketPath(listen);
  const file = path === undefined ? undefined : createFile(path, '--output');
  const header = await describe(address, options, signal);
  await using listener = await listenUnix(listen);
  const toStdout = path === undefined || options.json === true;
  const write = (line: string) => {
    file?.write(line);
    if (toStdout) output.line(line);
  };
  try {
    write(formatHeader(header));
    output.note(`recording ${address} at ${listener.address}: connect there; Ctrl-C ends it`);
    const ending = () => void listener.close();
    signal.addEventListener('abort', ending, { once: true });
    if (signal.aborted) ending();
    const recorded = await recordSessions({
      connect: () => connectTransport(target, { signal }),
      clients: listener,
      clock: environment.clock,
      onEntry: (entry) => {
        write(formatEntry(entry));
      },
      showSecrets,
      onFileDescriptor: (command) => {
        output.note(
          `${command}: a file descriptor cannot pass through a recording, so QEMU refuses it; ` +
            'give the client that passes one a monitor of its own',
        );
      },
      signal,
      once,
    });
    output.note(summary(recorded, path));
    if (recorded.fault !== undefined) throw incomplete(recorded);
    return EXIT.done;
  } finally {
    file?.close();
  }
}

/** Asks the VM what it is, on a session of its own, so that a VM that is not there is told at once. */
async function describe(
  address: string,
  { scenario, output = 'recording' }: RecordOptions,
  signal: AbortSignal,
): Promise<TranscriptHeader> {
  await using session = await connectQmp(address, { signal });
  const { major, minor, micro } = session.version;
  const machine = await session
    .execute('qom-get', { path: '/machine', property: 'type' })
    .catch(() => undefined);
  return {
    qmplug: 1,
    qemu: `${major}.${minor}.${micro}`,
    machine: typeof machine === 'string' ? machineName(machine) : 'unknown',
    scenario: scenario ?? basename(output, '.jsonl'),
    origin: 'recorded',
  };
}

function summary({ sessionCount, messageCount, endedBy }: RecordedSessions, path = 'stdout') {
  const why = { signal: '', client: '', server: '; QEMU has closed the monitor' }[endedBy];
  return `recorded ${messageCount} messages in ${sessionCount} sessions: ${path}${why}`;
}

function incomplete({ fault, messageCount }: RecordedSessions): QmplugError {
  return new QmplugError(
    'RECORDING_INCOMPLETE',
    `The recording ends after ${messageCount} messages: what came next is no QMP message, or could not be written`,
    {
      cause: fault,
      remedy: 'what was written until then is whole; the clients were served on',
      details: { messageCount },
    },
  );
}
