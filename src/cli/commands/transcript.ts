import { basename } from 'node:path';
import type { Command } from 'commander';
import { escapeControl, InputError, type JsonValue } from '../../index.js';
import {
  checkTranscript,
  formatTranscript,
  importLog,
  LOG_FORMATS,
  parseTranscript,
  renderTranscript,
  type LogFormat,
} from '../../testing.js';
import type { CommandContext, RunWork } from '../command-context.js';
import { EXIT } from '../exit-status.js';
import { createFile, readTextFile } from '../files.js';
import { once, oneOf, text, version } from '../option-values.js';
import { addJsonOption } from '../vm-options.js';

interface TranscriptOptions {
  readonly format?: LogFormat;
  readonly output?: string;
  readonly commands?: string;
  readonly qemu?: string;
  readonly machine?: string;
  readonly scenario?: string;
  readonly json?: true;
}

type Action = 'import' | 'check' | 'show';

const HELP = `
Examples:
  qmplug transcript check attach.jsonl detach.jsonl
  qmplug transcript show attach.jsonl
  qmplug transcript import monitor.log -o attach.jsonl
  qmplug transcript import old.replies --commands commands.jsonl --qemu 2.5.0 -o caps.jsonl

check finds what cannot be read or does not belong together, with its line; findings end with status 3.
show prints one line a message. import makes a transcript of what others write down:
  lines            -> {"execute":...} and <- {"return":...}, also with names, times and over several lines
  qmp-shell        the log of qmp-shell -l (command and reply in one object or side by side), or its terminal
  libvirt-replies  JSON documents below each other; where they are replies alone, with --commands
  libvirt-log      the debug log of libvirt's daemon (QEMU_MONITOR_SEND_MSG ...)

JSON: check {"files":[{"file","messages","sessions","findings":[{"line","message"}]}]}, show {"header":{...},
"entries":[...]}, import {"format","added":[...],"file"|"transcript":{...}}`;

/** Options of import alone. */
const OF_IMPORT = ['format', 'output', 'commands', 'qemu', 'machine', 'scenario'] as const;

export function defineTranscript(program: Command, run: RunWork): Command {
  const command = program
    .command('transcript')
    .description('Checks, shows and imports transcripts. Needs no VM.')
    .argument('<action>', 'import, check or show')
    .argument('<file...>', 'transcripts; of import, one log')
    .option('--format <format>', 'how the log is written (default: by what is in it)', FORMAT)
    .option('-o, --output <file>', 'import: a new file', once('--output', text))
    .option('--commands <file>', 'import: JSON commands, in order', once('--commands', text))
    .option('--qemu <version>', 'import: version of QEMU, 7.2.22', once('--qemu', version))
    .option('--machine <name>', 'import: machine type', once('--machine', text))
    .option('--scenario <name>', "import: its name (default: the file's)", once('--scenario', text))
    .addHelpText('after', HELP);
  return addJsonOption(command).action(
    (word: string, files: readonly string[], options: TranscriptOptions) =>
      run(
        async (context) => {
          const action = oneOf('import', 'check', 'show')(word, 'action');
          refuseStray(action, files, options);
          return ACTIONS[action](files, options, context);
        },
        { changesNothing: true },
      ),
  );
}

const FORMAT = once('--format', oneOf(...LOG_FORMATS));

function refuseStray(action: Action, files: readonly string[], options: TranscriptOptions): void {
  const stray = OF_IMPORT.find((name) => action !== 'import' && options[name] !== undefined);
  if (stray !== undefined) {
    throw new InputError('BAD_ARGUMENT', `--${stray} belongs to transcript import`, {
      remedy: 'leave it out',
    });
  }
  if (action !== 'check' && files.length > 1) {
    throw new InputError('BAD_ARGUMENT', `transcript ${action} takes one file`, {
      remedy: 'run it once for each',
    });
  }
}

type RunAction = (
  files: readonly string[],
  options: TranscriptOptions,
  context: CommandContext,
) => number;

const ACTIONS: Readonly<Record<Action, RunAction>> = {
  check(paths, _options, { output }) {
    const files = paths.map((file) => {
      const { transcript, sessionCount, findings } = checkTranscript(readTextFile(file));
      const messages = transcript?.entries.length ?? 0;
      return { file, messages, sessions: sessionCount, findings };
    });
    output.result(
      { files: files.map((each) => ({ ...each, findings: asJson(each.findings) })) },
      () =>
        files
          .flatMap(({ file, messages, findings }) =>
            findings.length === 0
              ? [`${file}: ${messages} messages, sound`]
              : findings.map(({ line, message }) => `${file}:${line}: ${message}`),
          )
          .map(escapeControl)
          .join('\n'),
    );
    return files.every(({ findings }) => findings.length === 0) ? EXIT.done : EXIT.refused;
  },

  show([file = ''], _options, { output }) {
    const transcript = parseTranscript(readTextFile(file), file);
    const { header, entries } = transcript;
    output.result({ header: { ...header }, entries: asJson(entries) }, () =>
      renderTranscript(transcript).join('\n'),
    );
    return EXIT.done;
  },

  import([source = ''], options, { output }) {
    const { format, commands, output: path, qemu, machine } = options;
    const scenario = options.scenario ?? basename(path ?? source).replace(/\.\w+$/, '');
    const file = path === undefined ? undefined : createFile(path, '--output');
    const { transcript, added, ...read } = importLog(readTextFile(source), {
      source,
      format,
      scenario,
      qemu,
      machine,
      commands: commands === undefined ? undefined : readTextFile(commands),
    });
    const written = formatTranscript(transcript);
    file?.write(written);
    file?.close();
    const { header, entries } = transcript;
    const where =
      path === undefined
        ? { transcript: { header: { ...header }, entries: asJson(entries) } }
        : { file: path, messages: entries.length };
    output.result({ format: read.format, added, ...where }, () =>
      path === undefined ? written : `${path}: ${entries.length} messages (${read.format})`,
    );
    if (added.length > 0) {
      output.note(`the log had no ${added.join(' and no ')}; added, for a client waits for that`);
    }
    return EXIT.done;
  },
};

/** Plain data is JSON already; interfaces only lack the index signature. */
const asJson = (values: readonly object[]) => values as unknown as readonly JsonValue[];
