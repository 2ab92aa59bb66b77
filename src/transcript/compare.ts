import { isJsonObject, stringifyJson, type JsonObject, type JsonValue } from '../json.js';
import { excerpt } from '../text.js';
import { lineOf, type Transcript, type TranscriptEntry } from './format.js';

/** Stands for a secret in a transcript; whatever text is said in its place is right. */
export const MASKED = '(masked)';

/** One place where two values differ; `undefined` is an absent member. */
export interface Difference {
  /** `arguments.bus`, `return[3].name`; empty for the whole. */
  readonly path: string;
  readonly expected: JsonValue | undefined;
  readonly received: JsonValue | undefined;
}

/** What differs between two values; the order of an object's members means nothing. */
export function diffValues(
  expected: JsonValue | undefined,
  received: JsonValue | undefined,
  path = '',
): readonly Difference[] {
  if (isJsonObject(expected) && isJsonObject(received)) {
    const keys = new Set([...Object.keys(expected), ...Object.keys(received)]);
    return [...keys].flatMap((key) =>
      diffValues(member(expected, key), member(received, key), joinPath(path, key)),
    );
  }
  if (isList(expected) && isList(received)) {
    const length = Math.max(expected.length, received.length);
    return Array.from({ length }, (_, index) =>
      diffValues(expected[index], received[index], `${path}[${index}]`),
    ).flat();
  }
  if (expected === MASKED && typeof received === 'string') return [];
  return Object.is(expected, received) ? [] : [{ path, expected, received }];
}

/**
 * What differs between two messages apart from what differs in every session: the id, and the
 * time stamp of an event. Absent arguments are empty ones.
 */
export function diffMessages(expected: JsonObject, received: JsonObject): readonly Difference[] {
  return diffValues(essence(expected), essence(received));
}

/** Two lines a difference, `-` as it should be and `+` as it is; safe to print. */
export function formatDifferences(differences: readonly Difference[]): string {
  return differences
    .map(({ path, expected, received }) => {
      const label = path === '' ? '' : `${excerpt(path)}: `;
      return `  - ${label}${show(expected)}\n  + ${label}${show(received)}`;
    })
    .join('\n');
}

/**
 * What differs between two transcripts in the sequence of their messages, as text; undefined where
 * they say the same. Times, ids and the headers are not compared.
 */
export function compareTranscripts(expected: Transcript, received: Transcript): string | undefined {
  const left = expected.entries;
  const right = received.entries;
  const shared = Math.min(left.length, right.length);
  let head = 0;
  while (head < shared && isSame(left[head], right[head])) head += 1;
  let tail = 0;
  while (
    tail < shared - head &&
    isSame(left[left.length - 1 - tail], right[right.length - 1 - tail])
  ) {
    tail += 1;
  }
  const removed = left.slice(head, left.length - tail);
  const added = right.slice(head, right.length - tail);
  if (removed.length === 0 && added.length === 0) return undefined;
  const [was] = removed;
  const [is] = added;
  if (removed.length === 1 && added.length === 1 && was && is && was.dir === is.dir) {
    const where = `line ${lineOf(head)} (${describeMessage(was.msg)}) differs:`;
    return `${where}\n${formatDifferences(diffMessages(was.msg, is.msg))}`;
  }
  const lines = (sign: string, entries: readonly TranscriptEntry[]) =>
    entries.map(
      (entry, index) =>
        `  ${sign} line ${lineOf(head + index)} ${entry.dir} ${show(essence(entry.msg))}`,
    );
  return [
    `from line ${lineOf(head)}: ${removed.length} messages became ${added.length}:`,
    ...lines('-', removed),
    ...lines('+', added),
  ].join('\n');
}

/** A message in a few words: `device_add`, `event DEVICE_DELETED`, `reply`. */
export function describeMessage(msg: JsonObject): string {
  const name = msg.execute ?? msg['exec-oob'];
  if (typeof name === 'string') return excerpt(name);
  if (typeof msg.event === 'string') return `event ${excerpt(msg.event)}`;
  return msg.QMP === undefined ? 'reply' : 'greeting';
}

function isSame(a: TranscriptEntry | undefined, b: TranscriptEntry | undefined): boolean {
  if (a === undefined || b === undefined || a.dir !== b.dir || a.fd !== b.fd) return false;
  return diffMessages(a.msg, b.msg).length === 0;
}

function essence(msg: JsonObject): JsonObject {
  const isCommand = msg.execute !== undefined || msg['exec-oob'] !== undefined;
  return {
    ...msg,
    id: undefined,
    ...(msg.event === undefined ? {} : { timestamp: undefined }),
    ...(isCommand ? { arguments: msg.arguments ?? {} } : {}),
  };
}

const isList = (value: JsonValue | undefined): value is readonly JsonValue[] =>
  Array.isArray(value);

/** Only own members: `constructor` in one object is not equal to its absence in another. */
function member(object: JsonObject, key: string): JsonValue | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

function joinPath(path: string, key: string): string {
  const plain = /^[\w-]+$/.test(key) ? key : JSON.stringify(key);
  return path === '' ? plain : `${path}.${plain}`;
}

function show(value: JsonValue | undefined): string {
  return value === undefined ? '(absent)' : excerpt(stringifyJson(value), 400);
}
