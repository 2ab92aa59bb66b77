import { CommanderError } from 'commander';
import { InputError } from '../index.js';
import type { Work, WorkOptions } from './command-context.js';
import { EXIT, exitStatusOf, exitStatusOfLook } from './exit-status.js';
import type { CliIo } from './io.js';
import { createOutput } from './output.js';
import { COMMAND_NAMES } from './program.js';
import { selectionLog } from './selection-log.js';
import { environmentOf, readSettings } from './settings.js';

/** Runs the work of a command; whatever it throws becomes a message and an exit status. */
export async function runCommand(
  io: CliIo,
  json: boolean,
  work: Work,
  { changesNothing = false }: WorkOptions = {},
): Promise<number> {
  const output = createOutput(json, io);
  try {
    const settings = readSettings(io.env);
    const environment = environmentOf(settings, {
      logger: selectionLog(output),
      onBoundary: ({ kind, turn, at }) => {
        if (at === 'after-intent') output.progress(turn === 'undo' ? `undo ${kind}` : kind);
      },
    });
    return await work({ environment, output, settings, signal: io.signal });
  } catch (error) {
    output.error(error);
    return changesNothing ? exitStatusOfLook(error) : exitStatusOf(error);
  }
}

/**
 * Tells what is wrong with the arguments. `help` is what commander wanted to show: with no command at all it is
 * the answer.
 */
export function reportUsage(
  io: CliIo,
  json: boolean,
  { error, help }: { readonly error: unknown; readonly help: string },
): number {
  const output = createOutput(json, io);
  if (!(error instanceof CommanderError)) {
    output.error(error);
    return exitStatusOf(error);
  }
  const noCommand = error.code === 'commander.help';
  if (noCommand && !json) {
    io.stderr.write(help);
    return EXIT.usage;
  }
  const message = noCommand
    ? 'No command is given'
    : error.message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' ');
  const words = commandWords(io.args, error.code === 'commander.unknownCommand');
  const remedy = `see: ${['qmplug', ...words, '--help'].join(' ')}`;
  output.error(new InputError('BAD_ARGUMENT', message, { remedy }));
  return EXIT.usage;
}

/** Whose help tells more: the command's, and of `host` the one's below it, unless that is what is unknown. */
function commandWords(args: readonly string[], isUnknown: boolean): readonly string[] {
  const at = args.findIndex((arg) => COMMAND_NAMES.includes(arg));
  if (at < 0) return [];
  const [command = '', below = '-'] = args.slice(at);
  return command !== 'host' || isUnknown || below.startsWith('-') ? [command] : [command, below];
}
