import { isJsonObject, type JsonObject } from '../json.js';
import { InputError } from '../errors.js';
import { badLog, findDocuments, logLines } from './documents.js';
import type { Transcript, TranscriptEntry } from './format.js';
import { detectFormat, readLog, timeIn, type LogFormat, type LogMessage } from './log-formats.js';
import { machineName } from './machine-name.js';
import { pairReplies } from './pairing.js';

export interface ImportOptions {
  /** What to call the log in messages. */
  readonly source: string;
  /** Default: the one that it can only be. */
  readonly format?: LogFormat | undefined;
  readonly scenario: string;
  /** Version of QEMU, `7.2.22`; needed where neither a greeting nor query-version tells. */
  readonly qemu?: string | undefined;
  /** Default: what a `qom-get` of the machine's type told, or `unknown`. */
  readonly machine?: string | undefined;
  /** JSON commands in their order, for a log that has replies alone. */
  readonly commands?: string | undefined;
}

export interface ImportedLog {
  readonly transcript: Transcript;
  readonly format: LogFormat;
  /** What a client needs and the log did not have: `greeting`, `qmp_capabilities`. */
  readonly added: readonly string[];
}

/**
 * Makes a transcript of a log that another program wrote. Its origin is `synthetic`: nobody can tell from a log
 * that QEMU said it.
 *
 * @throws {InputError} `BAD_TRANSCRIPT` with the line of the log that cannot be read or has no place.
 */
export function importLog(text: string, options: ImportOptions): ImportedLog {
  const { source, scenario } = options;
  const format = options.format ?? detectFormat(text, source);
  const logged = withCommands(readLog(text, format, source), options);
  const [first] = logged;
  if (first === undefined) throw badLog(source, 1, 'there is no QMP message in it');
  const { problems } = pairReplies(logged.map(({ dir, msg }) => ({ t: 0, dir, msg })));
  const [problem] = problems;
  if (problem !== undefined) {
    const { line } = logged[problem.index] ?? first;
    const [reason = ''] = problem.reason.split(': ');
    throw badLog(source, line, problem.reason.startsWith('line ') ? MISSING_REPLY : reason);
  }
  const qemu = options.qemu ?? versionIn(logged);
  if (qemu === undefined) {
    throw new InputError('BAD_ARGUMENT', `${source} does not tell the version of QEMU`, {
      remedy: 'give it: --qemu 7.2.22',
      details: { source },
    });
  }
  const { messages, added } = negotiated(logged, qemu);
  const machine = options.machine ?? machineIn(logged) ?? 'unknown';
  const header = { qmplug: 1, qemu, machine, scenario, origin: 'synthetic' } as const;
  return { transcript: { header, entries: timed(messages, text) }, format, added };
}

const MISSING_REPLY = 'QEMU answers in order, so the reply to an earlier command is missing';

/** Each reply with the command that the caller knows it answers. */
function withCommands(
  logged: readonly LogMessage[],
  { commands, source }: ImportOptions,
): readonly LogMessage[] {
  const isReply = ({ msg }: LogMessage) => msg.return !== undefined || msg.error !== undefined;
  if (commands === undefined) {
    const reply = logged.find(isReply);
    if (reply === undefined || logged.some(({ dir }) => dir === 'out')) return logged;
    throw badLog(
      source,
      reply.line,
      'replies without commands; give the commands: --commands FILE',
    );
  }
  const given = findDocuments(logLines(commands), '--commands').documents.map(({ value }) => value);
  const replies = logged.filter(isReply);
  const [own] = logged.filter(({ dir }) => dir === 'out');
  if (own !== undefined)
    throw badLog(source, own.line, 'it has commands of its own: no --commands');
  if (given.length !== replies.length) {
    const count = `${replies.length} replies, and --commands has ${given.length}`;
    throw badLog(source, replies.at(-1)?.line ?? 1, count);
  }
  let next = 0;
  return logged.flatMap((each): readonly LogMessage[] => {
    const command = isReply(each) ? given[next++] : undefined;
    if (command === undefined) return [each];
    const { id } = each.msg;
    return [{ line: each.line, dir: 'out', msg: { ...command, id } }, each];
  });
}

/** A QMP client waits for the greeting, and negotiates first; many logs begin after that. */
function negotiated(
  logged: readonly LogMessage[],
  qemu: string,
): { readonly messages: readonly LogMessage[]; readonly added: readonly string[] } {
  const hasGreeting = logged.some(({ msg }) => msg.QMP !== undefined);
  const negotiates = logged.some(({ msg }) => msg.execute === 'qmp_capabilities');
  const [major = 0, minor = 0, micro = 0] = qemu.split('.').map(Number);
  const greeting: JsonObject = {
    QMP: { version: { qemu: { micro, minor, major }, package: '' }, capabilities: [] },
  };
  const first: readonly LogMessage[] = hasGreeting ? [] : [{ line: 1, dir: 'in', msg: greeting }];
  const id = 'qmplug-import';
  const second: readonly LogMessage[] = negotiates
    ? []
    : [
        { line: 1, dir: 'out', msg: { execute: 'qmp_capabilities', id } },
        { line: 1, dir: 'in', msg: { return: {}, id } },
      ];
  const at = hasGreeting ? logged.findIndex(({ msg }) => msg.QMP !== undefined) + 1 : 0;
  return {
    messages: [...first, ...logged.slice(0, at), ...second, ...logged.slice(at)],
    added: [...(hasGreeting ? [] : ['greeting']), ...(negotiates ? [] : ['qmp_capabilities'])],
  };
}

/** With the times of their lines, where they have some; never going back. */
function timed(messages: readonly LogMessage[], text: string): readonly TranscriptEntry[] {
  const lines = logLines(text);
  let began: number | undefined;
  let last = 0;
  return messages.map(({ line, dir, msg }) => {
    const text = lines[line - 1]?.text ?? '';
    const at = timeIn(text.slice(0, Math.max(0, text.indexOf('{'))));
    began ??= at;
    if (at !== undefined && began !== undefined) last = Math.max(last, Math.round(at - began));
    return { t: last, dir, msg };
  });
}

function versionIn(logged: readonly LogMessage[]): string | undefined {
  for (const { msg } of logged) {
    const greeting = isJsonObject(msg.QMP) ? msg.QMP.version : undefined;
    const told = isJsonObject(msg.return) ? msg.return : undefined;
    const qemu = isJsonObject(greeting) ? greeting.qemu : told?.qemu;
    if (!isJsonObject(qemu)) continue;
    const { major, minor, micro } = qemu;
    const numbers = [major, minor, micro].map(Number);
    if (numbers.every((each) => Number.isSafeInteger(each))) return numbers.join('.');
  }
  return undefined;
}

function machineIn(logged: readonly LogMessage[]): string | undefined {
  const { answers } = pairReplies(logged.map(({ dir, msg }) => ({ t: 0, dir, msg })));
  for (const [reply, command] of answers) {
    const args = logged[command]?.msg.arguments;
    const value = logged[reply]?.msg.return;
    if (!isJsonObject(args) || typeof value !== 'string') continue;
    if (args.path === '/machine' && args.property === 'type') return machineName(value);
  }
  return undefined;
}
