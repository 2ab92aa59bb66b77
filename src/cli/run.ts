import { CommanderError, type Command } from 'commander';
import type { RunWork } from './command-context.js';
import type { CliIo } from './io.js';
import { createProgram } from './program.js';

/**
 * Runs one command line: one document on stdout with `--json`, everything else on stderr.
 *
 * @returns the exit status, as `EXIT` names it.
 */
export async function runCli(io: CliIo): Promise<number> {
  const json = asksForJson(io.args);
  let status = 0;
  const run: RunWork = async (work, options) => {
    const { runCommand } = await import('./run-command.js');
    status = await runCommand(io, json, work, options);
  };
  let shown = '';
  try {
    const program = await createProgram(run, commandsIn(io.args));
    for (const command of withSubcommands(program)) {
      command.exitOverride().configureOutput({
        writeOut: (text) => (shown += text),
        writeErr: (text) => (shown += text),
        outputError: () => undefined,
      });
    }
    await program.parseAsync(io.args.map(shieldSelector), { from: 'user' });
    return status;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) {
      const what = error.code === 'commander.version' ? 'version' : 'help';
      io.stdout.write(json ? `${JSON.stringify({ [what]: shown.trim() })}\n` : shown);
      return 0;
    }
    const { reportUsage } = await import('./run-command.js');
    return reportUsage(io, json, { error, help: shown });
  }
}

/** `-s 3b:00` in one word is a selector, as lspci takes it; commander knows an option by its first character. */
function shieldSelector(arg: string): string {
  return /^-[sd]\s/.test(arg) ? ` ${arg}` : arg;
}

/** A command and all below it: what is set on a command reaches no command that is there already. */
function withSubcommands(command: Command): readonly Command[] {
  return [command, ...command.commands.flatMap(withSubcommands)];
}

/** Also where the arguments cannot be read: whoever asked for JSON gets its errors so. */
function asksForJson(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return args.slice(0, end < 0 ? undefined : end).includes('--json');
}

/** The first words that are no options: the command, or `help` and the command. */
function commandsIn(args: readonly string[]): readonly string[] {
  return args.filter((arg) => !arg.startsWith('-')).slice(0, 2);
}
