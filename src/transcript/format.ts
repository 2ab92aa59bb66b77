import { InputError } from '../errors.js';
import {
  isJsonObject,
  parseJson,
  stringifyJson,
  type JsonObject,
  type JsonValue,
} from '../json.js';
import { excerpt } from '../text.js';

/** First line of a transcript. */
export interface TranscriptHeader {
  /** Version of the format. */
  readonly qmplug: 1;
  /** Version of QEMU, `7.2.22`. */
  readonly qemu: string;
  /** Machine type, `q35`. */
  readonly machine: string;
  readonly scenario: string;
  /** `recorded` only where a real QEMU said every `in` message. */
  readonly origin: 'recorded' | 'synthetic';
}

/** One message: `out` went to QEMU, `in` came from it. */
export interface TranscriptEntry {
  /** Milliseconds since the recording began; never goes back. */
  readonly t: number;
  readonly dir: 'in' | 'out';
  /** An open file went to QEMU along with it (SCM_RIGHTS); which one, a transcript does not hold. */
  readonly fd?: true | undefined;
  readonly msg: JsonObject;
}

export interface Transcript {
  readonly header: TranscriptHeader;
  readonly entries: readonly TranscriptEntry[];
}

/** Line of an entry in the file, counted from 1; the header is line 1. */
export function lineOf(index: number): number {
  return index + 2;
}

/** What is wrong with a line of a transcript; the header is line 1. */
export interface TranscriptFault {
  readonly line: number;
  readonly reason: string;
  readonly cause?: unknown;
}

/**
 * Reads a transcript: JSON lines, the header first.
 *
 * @param source what to call the file in messages.
 * @throws {InputError} `BAD_TRANSCRIPT` with the number of the line, also where the file was cut
 * in the middle of a line.
 */
export function parseTranscript(text: string, source = 'transcript'): Transcript {
  const { header, entries, faults } = readTranscript(text);
  const [fault] = faults;
  if (fault === undefined && header !== undefined) return { header, entries };
  const { line, reason, cause } = fault ?? { line: 1, reason: 'no transcript header' };
  throw new InputError('BAD_TRANSCRIPT', `${excerpt(source)}, line ${line}: ${reason}`, {
    cause,
    remedy: 'record it again, or correct the line',
    details: { source, line },
  });
}

/** Reads as much of a transcript as can be read, and tells each line that cannot. */
export function readTranscript(text: string): {
  readonly header: TranscriptHeader | undefined;
  readonly entries: readonly TranscriptEntry[];
  readonly faults: readonly TranscriptFault[];
} {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  const faults: TranscriptFault[] = [];
  const read = <T>(line: string, index: number, check: (value: JsonValue) => T): T | undefined => {
    try {
      return check(parseJson(line));
    } catch (cause) {
      if (!(cause instanceof InputError)) throw cause;
      const isCut = index === lines.length - 1 && !text.endsWith('\n');
      const reason = isCut ? 'the file is cut short here' : cause.message;
      faults.push({ line: index + 1, reason, cause });
      return undefined;
    }
  };
  const [first, ...rest] = lines;
  if (first === undefined) {
    return { header: undefined, entries: [], faults: [{ line: 1, reason: 'the file is empty' }] };
  }
  const header = read(first, 0, checkHeader);
  let last = 0;
  const entries = rest.flatMap((line, index) => {
    const entry = read(line, index + 1, checkEntry);
    if (entry === undefined) return [];
    if (entry.t < last) {
      faults.push({ line: lineOf(index), reason: `t goes back from ${last} to ${entry.t}` });
    }
    last = entry.t;
    return [entry];
  });
  return { header, entries, faults };
}

/** Writes the whole file; `parseTranscript` reads back the same transcript. */
export function formatTranscript({ header, entries }: Transcript): string {
  return formatHeader(header) + entries.map(formatEntry).join('');
}

/** The first line, with its end. */
export function formatHeader(header: TranscriptHeader): string {
  const { qmplug, qemu, machine, scenario, origin } = header;
  return `${stringifyJson({ qmplug, qemu, machine, scenario, origin })}\n`;
}

/** One line, with its end. */
export function formatEntry({ t, dir, fd, msg }: TranscriptEntry): string {
  return `${stringifyJson({ t, dir, fd, msg })}\n`;
}

/**
 * Whether a message may stand in a transcript: a request that names its command, or something that
 * a QMP server says.
 *
 * @throws {InputError} `BAD_TRANSCRIPT`.
 */
export function checkMessage(dir: 'in' | 'out', msg: JsonValue | undefined): JsonObject {
  if (!isJsonObject(msg)) throw bad('msg is not an object');
  if (dir === 'in') {
    if (['QMP', 'return', 'error', 'event'].some((key) => msg[key] !== undefined)) return msg;
    throw bad('msg is neither greeting, return, error nor event');
  }
  if (typeof (msg.execute ?? msg['exec-oob']) === 'string') return msg;
  throw bad('msg names no command');
}

function checkHeader(value: JsonValue): TranscriptHeader {
  if (!isJsonObject(value) || value.qmplug === undefined) throw bad('no transcript header');
  if (value.qmplug !== 1) throw bad('made by another version of qmplug; this one reads format 1');
  checkKeys(value, ['qmplug', 'qemu', 'machine', 'scenario', 'origin']);
  const { qemu, machine, scenario, origin } = value;
  if (typeof qemu !== 'string' || typeof machine !== 'string' || typeof scenario !== 'string') {
    throw bad('qemu, machine and scenario must be texts');
  }
  if (origin !== 'recorded' && origin !== 'synthetic') {
    throw bad('origin must be recorded or synthetic');
  }
  return { qmplug: 1, qemu, machine, scenario, origin };
}

function checkEntry(value: JsonValue): TranscriptEntry {
  if (!isJsonObject(value)) throw bad('not an object');
  checkKeys(value, ['t', 'dir', 'fd', 'msg']);
  const { t, dir, fd } = value;
  if (typeof t !== 'number' || t < 0) throw bad('t must be a number of milliseconds, 0 or more');
  if (dir !== 'in' && dir !== 'out') throw bad('dir must be in or out');
  const msg = checkMessage(dir, value.msg);
  if (fd === undefined) return { t, dir, msg };
  if (fd !== true || dir !== 'out') throw bad('fd can only be true, and stand with what went out');
  return { t, dir, fd, msg };
}

function checkKeys(value: JsonObject, allowed: readonly string[]): void {
  const stray = Object.keys(value).find((key) => !allowed.includes(key));
  if (stray !== undefined) throw bad(`unknown member ${excerpt(JSON.stringify(stray))}`);
}

const bad = (reason: string) => new InputError('BAD_TRANSCRIPT', reason);
