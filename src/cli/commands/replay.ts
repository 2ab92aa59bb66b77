import type { Command } from 'commander';
import { listenUnix } from '../../qmp/index.js';
import { parseTranscript, replaySessions, TranscriptMismatchError } from '../../testing.js';
import type { CommandContext, RunWork } from '../command-context.js';
import { EXIT } from '../exit-status.js';
import { readTextFile } from '../files.js';
import { once, text } from '../option-values.js';
import { addJsonOption } from '../vm-options.js';

interface ReplayOptions {
  readonly listen: string;
  readonly timing?: true;
}

const HELP = `
Examples:
  qmplug replay attach.jsonl --listen ./vm.sock
  qmplug replay attach.jsonl --listen ./vm.sock --timing --json

Stands in for the QEMU that was recorded: a client that says what was said then hears what was answered then. Each
command is compared, name and arguments; ids may be others. The first difference ends the connection, is shown on
stderr with the line of the transcript, and the status is 3. Of a recording of several clients each gets its session.

JSON: {"replayed":{"file":"...","sessions":1,"messages":12}}`;

export function defineReplay(program: Command, run: RunWork): Command {
  const command = program
    .command('replay')
    .description(
      'Plays a transcript on a socket, in the place of QEMU, and checks what the client says.',
    )
    .argument('<file>', 'the transcript')
    .requiredOption('--listen <socket>', 'where the client connects', once('--listen', text))
    .option('--timing', 'let messages come after their recorded delays')
    .addHelpText('after', HELP);
  return addJsonOption(command).action((file: string, options: ReplayOptions) =>
    run((context) => replay(file, options, context), { changesNothing: true }),
  );
}

async function replay(
  file: string,
  { listen, timing }: ReplayOptions,
  { environment, output, signal }: CommandContext,
): Promise<number> {
  const transcript = parseTranscript(readTextFile(file), file);
  await using listener = await listenUnix(listen);
  const ending = () => void listener.close();
  signal.addEventListener('abort', ending, { once: true });
  if (signal.aborted) ending();
  try {
    output.note(`replaying ${file} at ${listener.address}: connect there`);
    const { sessionCount, messageCount } = await replaySessions(transcript, {
      clients: listener,
      clock: timing ? environment.clock : undefined,
      signal,
    });
    const replayed = { file, sessions: sessionCount, messages: messageCount };
    output.result(
      { replayed },
      () => `${messageCount} messages in ${sessionCount} sessions, all as recorded`,
    );
    return EXIT.done;
  } catch (error) {
    if (!(error instanceof TranscriptMismatchError)) throw error;
    output.error(error);
    return EXIT.refused;
  }
}
