import { styleText } from 'node:util';
import { escapeControl, QmplugError, stringifyJson, type JsonValue } from '../index.js';
import { readable } from '../text.js';
import { causesOf, describeError, type DescribedError } from './describe-error.js';
import type { TextSink } from './io.js';

/** Where a command writes: with `--json` exactly one document on stdout, everything else on stderr. */
export interface Output {
  /** Characters to a line of the terminal that shows the result; undefined where it goes elsewhere. */
  readonly width: number | undefined;
  /** The result: as JSON, or as the text that `render` makes of it. `format` goes before `--json`. */
  result(value: JsonValue, render: () => string, format?: 'json' | 'text'): void;
  /** One line of a result that has no end before the command has: JSON lines. */
  line(text: string): void;
  error(error: unknown): void;
  /** A line that belongs to the result but not into its document. */
  note(line: string): void;
  /** A line of progress, on a terminal only. */
  progress(line: string): void;
}

export interface OutputStreams {
  readonly stdout: TextSink;
  readonly stderr: TextSink;
}

export function createOutput(json: boolean, { stdout, stderr }: OutputStreams): Output {
  const onTerminal = stderr.isTTY === true;
  const paint = (style: 'red' | 'dim', text: string) =>
    onTerminal ? styleText(style, text, { validateStream: false }) : text;
  return {
    // A terminal that was never told its size (a serial line, `script`) says 0.
    width: stdout.isTTY === true ? stdout.columns || undefined : undefined,
    result(value, render, format = json ? 'json' : 'text') {
      stdout.write(format === 'json' ? `${stringifyJson(value)}\n` : withNewline(render()));
    },
    line(text) {
      stdout.write(withNewline(text));
    },
    error(error) {
      const described = describeError(error);
      if (json) stdout.write(`${stringifyJson({ error: described })}\n`);
      const [head, ...more] = errorLines(error, described);
      stderr.write([paint('red', `qmplug: ${head}`), ...more, ''].join('\n'));
    },
    note(line) {
      stderr.write(`qmplug: ${escapeControl(line)}\n`);
    },
    progress(line) {
      if (onTerminal) stderr.write(`${paint('dim', line)}\n`);
    },
  };
}

const withNewline = (text: string) => (text === '' || text.endsWith('\n') ? text : `${text}\n`);

/** The one message of several lines is made by us, of parts that are safe each, and shown whole. */
function messageText(error: unknown, message: string): string {
  return error instanceof QmplugError && error.code === 'TRANSCRIPT_MISMATCH'
    ? message.split('\n').map(escapeControl).join('\n')
    : readable(message);
}

function errorLines(
  error: unknown,
  { code, message, remedy, undone }: DescribedError,
): readonly string[] {
  return [
    `${messageText(error, message)} [${code}]`,
    ...causesOf(error).map((cause) => `  because: ${readable(cause)}`),
    ...(undone.length === 0 ? [] : [`  undone: ${undone.join(', ')}`]),
    ...(remedy === null ? [] : [`  ${readable(remedy)}`]),
    // What nobody foresaw is for whoever mends it.
    ...(code === 'UNEXPECTED' && error instanceof Error ? [error.stack ?? ''] : []),
  ];
}
