import type { JsonObject, JsonValue } from '../json.js';
import { parseJson } from '../json.js';
import { excerpt } from '../text.js';
import { badLog, findDocuments, logLines, type LogDocument, type LogLine } from './documents.js';

/** How other programs write down what goes over a monitor. */
export const LOG_FORMATS = ['lines', 'qmp-shell', 'libvirt-replies', 'libvirt-log'] as const;

/**
 * - `lines`: each message behind its direction, `-> {...}` and `<- {...}`, as in QEMU's documents;
 * - `qmp-shell`: command and reply as one object or side by side, or a session with its prompt;
 * - `libvirt-replies`: documents below each other, as in libvirt's tests/qemucapabilitiesdata;
 * - `libvirt-log`: the debug log of libvirt's daemon.
 */
export type LogFormat = (typeof LOG_FORMATS)[number];

/** A message of a log. */
export interface LogMessage {
  readonly line: number;
  readonly dir: 'in' | 'out';
  readonly msg: JsonObject;
}

/** Everything a log says, in order. @throws {InputError} `BAD_TRANSCRIPT` */
export function readLog(text: string, format: LogFormat, source: string): readonly LogMessage[] {
  const lines = logLines(text);
  switch (format) {
    case 'lines':
      return readArrows(lines, source);
    case 'qmp-shell':
      return readShell(lines, source);
    case 'libvirt-replies':
      return readReplies(lines, source);
    case 'libvirt-log':
      return readLibvirtLog(lines, source);
  }
}

/**
 * The format of a log, where only one is possible.
 *
 * @throws {InputError} `BAD_TRANSCRIPT`, naming the lines that speak for different ones.
 */
export function detectFormat(text: string, source: string): LogFormat {
  const lines = logLines(text);
  if (lines.some((each) => LIBVIRT_LINE.test(each.text))) return 'libvirt-log';
  if (lines.some((each) => PROMPT.test(each.text))) return 'qmp-shell';
  const { documents } = findDocuments(lines, source);
  const [first] = documents;
  if (first === undefined) throw badLog(source, 1, 'there is no QMP message in it');
  if (first.value.qmplug !== undefined) {
    throw badLog(source, first.line, 'it is a transcript already; nothing is to be imported');
  }
  if (documents.some(({ value }) => isCommand(value) && isReply(value))) return 'qmp-shell';
  const marked = documents.find(({ before }) => directionOf(before) !== undefined);
  const bare = documents.find(({ before }) => directionOf(before) === undefined);
  if (bare === undefined) return 'lines';
  if (marked === undefined && documents.every(({ before }) => before.trim() === '')) {
    return documents.some(isSecondOnLine) ? 'qmp-shell' : 'libvirt-replies';
  }
  const other = marked === undefined ? '' : `, and line ${marked.line} has one`;
  throw badLog(source, bare.line, `the message has no direction before it${other}`);
}

const isSecondOnLine = ({ line }: LogDocument, index: number, all: readonly LogDocument[]) =>
  all[index - 1]?.line === line;

const isCommand = (msg: JsonObject) => msg.execute !== undefined || msg['exec-oob'] !== undefined;
const isReply = (msg: JsonObject) => msg.return !== undefined || msg.error !== undefined;

/** What a message is by itself; a direction in the log must say the same. */
function sideOf({ line, value }: LogDocument, source: string): 'in' | 'out' {
  if (isCommand(value) && !isReply(value)) return 'out';
  if (isReply(value) || value.event !== undefined || value.QMP !== undefined) return 'in';
  throw badLog(source, line, 'neither a command nor anything that QEMU says');
}

const message = (document: LogDocument, source: string): LogMessage => ({
  line: document.line,
  dir: sideOf(document, source),
  msg: document.value,
});

/** Ends what stands before a message, so time stamps and names may come before it. */
const SENT =
  /(?:^|[^<])(?:-+>|=+>|>+|[→⇒])\s*$|\b(?:C|client|sen[dt]|sending|out|tx|request|cmd|command)\s*[:=]?\s*$/i;
const RECEIVED =
  /(?:<-+|<=+|<+|[←⇐])\s*$|\b(?:S|server|recv|received|receiving|in|rx|reply|response|event|qemu)\s*[:=]?\s*$/i;

function directionOf(before: string): 'in' | 'out' | undefined {
  if (RECEIVED.test(before)) return 'in';
  return SENT.test(before) ? 'out' : undefined;
}

function readArrows(lines: readonly LogLine[], source: string): readonly LogMessage[] {
  const { documents, rest } = findDocuments(lines, source);
  refuseRest(rest, source);
  return documents.map((document) => {
    const { line, before } = document;
    const said = directionOf(before);
    const side = sideOf(document, source);
    if (said === undefined) throw badLog(source, line, 'the message has no direction before it');
    if (said !== side) {
      const what = side === 'in' ? 'QEMU says that' : 'a client says that';
      throw badLog(source, line, `the direction is ${excerpt(before.trim(), 40)}, but ${what}`);
    }
    return message(document, source);
  });
}

/** A comment stands for itself; anything else might be half of a message. */
function refuseRest(rest: readonly LogLine[], source: string): void {
  const stray = rest.find(({ text }) => !/^(#|\/\/|--\s|\.\.\.$)/.test(text));
  if (stray === undefined) return;
  throw badLog(source, stray.line, `no message: ${excerpt(JSON.stringify(stray.text), 60)}`);
}

function readReplies(lines: readonly LogLine[], source: string): readonly LogMessage[] {
  const { documents, rest } = findDocuments(lines, source);
  refuseRest(rest, source);
  const odd = documents.find(({ before }) => before.trim() !== '');
  if (odd !== undefined) {
    throw badLog(source, odd.line, `text before the message: ${excerpt(odd.before.trim(), 40)}`);
  }
  return documents.map((document) => message(document, source));
}

const PROMPT = /^\s*\(QEMU\)\s*/;

/**
 * `qmp-shell -l` writes command and reply as one object; a copied terminal has the typed command behind the
 * prompt, and with -v the command that was made of it.
 */
function readShell(lines: readonly LogLine[], source: string): readonly LogMessage[] {
  const typed = lines.flatMap((each) => typedCommand(each, source));
  const others = lines.filter(({ text }) => !PROMPT.test(text) && !BANNER.test(text));
  const { documents, rest } = findDocuments(others, source);
  refuseRest(rest, source);
  const said = documents.flatMap((document): readonly LogMessage[] => {
    const { line, value } = document;
    if (!isCommand(value) || !isReply(value)) return [message(document, source)];
    const { return: result, error, ...command } = value;
    const { id } = value;
    const reply = { ...(error === undefined ? { return: result } : { error }), id };
    return [
      { line, dir: 'out', msg: command },
      { line, dir: 'in', msg: reply },
    ];
  });
  const isEchoed = ({ line }: LogMessage) => {
    const next = said.find((each) => each.line > line);
    return next?.dir === 'out' && !typed.some((each) => each.line > line && each.line < next.line);
  };
  return [...typed.filter((each) => !isEchoed(each)), ...said].sort((a, b) => a.line - b.line);
}

const BANNER = /^\s*(Welcome to the QMP|Connected to QEMU|Connected$|Disconnected$)/;

/** Quotes keep a word together, and stay in it (python/qemu/qmp/qmp_shell.py, 7.2). */
const SHELL_WORD = /(?:[^\s"']|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')+/g;

/** `device_add driver=e1000 id=net1`: values as qmp-shell reads them. */
function typedCommand({ line, text }: LogLine, source: string): readonly LogMessage[] {
  if (!PROMPT.test(text)) return [];
  const [execute, ...words] = text.replace(PROMPT, '').match(SHELL_WORD) ?? [];
  if (execute === undefined || execute === '' || execute === 'exit' || execute === 'quit()') {
    return [];
  }
  const args: Record<string, JsonValue> = {};
  for (const word of words) {
    const [, name = '', value] = /^([^=]+)=(.*)$/.exec(word) ?? [];
    if (value === undefined) throw badLog(source, line, `${excerpt(word, 40)} is not NAME=VALUE`);
    setMember(args, name.split('.'), typedValue(value));
  }
  return [{ line, dir: 'out', msg: { execute, arguments: args } }];
}

function typedValue(text: string): JsonValue {
  if (/^-?\d{1,18}$/.test(text)) return parseJson(String(BigInt(text)));
  if (/^(true|false)$/i.test(text)) return text.toLowerCase() === 'true';
  if (!/^[[{]/.test(text)) return text;
  try {
    return parseJson(text);
  } catch {
    return text;
  }
}

function setMember(into: Record<string, JsonValue>, path: readonly string[], value: JsonValue) {
  const [name = '', ...below] = path;
  if (below.length === 0) {
    Object.defineProperty(into, name, { value, enumerable: true, configurable: true });
    return;
  }
  const inner = Object.hasOwn(into, name) ? into[name] : undefined;
  const next = (typeof inner === 'object' ? inner : {}) as Record<string, JsonValue>;
  Object.defineProperty(into, name, { value: next, enumerable: true, configurable: true });
  setMember(next, below, value);
}

/** Lines with a message; libvirt logs the bytes of most once more under other names. */
const LIBVIRT_LINE =
  /QEMU_MONITOR_(?:SEND_MSG: mon=(\S+) msg=|RECV_(?:REPLY: mon=(\S+) reply|EVENT: mon=(\S+) event)=)/;
const LIBVIRT_GREETING = /Line \[(?=\{"QMP")/;

function readLibvirtLog(lines: readonly LogLine[], source: string): readonly LogMessage[] {
  let monitor: string | undefined;
  const telling = lines.flatMap(({ line, text }): readonly LogLine[] => {
    const match = LIBVIRT_LINE.exec(text);
    if (match !== null) {
      const mon = match[1] ?? match[2] ?? match[3];
      monitor ??= mon;
      if (mon !== monitor) {
        throw badLog(source, line, `a second monitor, ${mon}: keep the lines of one VM`);
      }
      return [{ line, text: text.slice(match.index + match[0].length) }];
    }
    const greeting = LIBVIRT_GREETING.exec(text);
    return greeting ? [{ line, text: text.slice(greeting.index + greeting[0].length) }] : [];
  });
  // What follows the message on its line (`fd=-1`) is libvirt's own.
  const { documents } = findDocuments(telling, source);
  return documents.map((document) => message(document, source));
}

/** A time that a line begins with or holds, as milliseconds of some clock. */
export function timeIn(text: string): number | undefined {
  const [, date, hours, minutes, seconds, fraction = ''] =
    /(?:(\d{4}-\d\d-\d\d)[T ]|\b)(\d\d):(\d\d):(\d\d)[.,](\d{1,9})/.exec(text) ?? [];
  if (hours === undefined || minutes === undefined || seconds === undefined) return undefined;
  const day = date === undefined ? 0 : Date.parse(`${date}T00:00:00Z`);
  const inDay = (Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds);
  return Number.isNaN(day) ? undefined : day + inDay * 1000 + Number(`0.${fraction}`) * 1000;
}
