import { isJsonObject, stringifyJson, type JsonObject, type JsonValue } from '../../src/json.js';
import { diffMessages, type Transcript, type TranscriptEntry } from '../../src/testing.js';

/** A transcript that is no longer what QEMU and the controller said. */
export interface Alteration {
  readonly what: string;
  readonly transcript: Transcript;
  /** The line that the mismatch must name; undefined where any failure will do. */
  readonly line: number | undefined;
}

type Indexed = readonly [index: number, entry: TranscriptEntry];

/** Each command with one leaf of its arguments altered, for every leaf; one without arguments becomes another. */
export function* alterArguments(transcript: Transcript): Generator<Alteration> {
  for (const [index, entry] of commandsOf(transcript)) {
    const args = entry.msg.arguments;
    const altered: readonly JsonObject[] =
      args === undefined
        ? [{ execute: 'query-kvm' }]
        : alterLeaves(args).map((value) => ({ arguments: value }));
    for (const change of altered) {
      yield {
        what: `line ${lineOf(index)} with ${stringifyJson(change)}`,
        transcript: withEntries(transcript, (entries) =>
          entries.with(index, { ...entry, msg: { ...entry.msg, ...change } }),
        ),
        line: lineOf(index),
      };
    }
  }
}

/** Commands that follow each other, in each other's place. */
export function swapCommands(transcript: Transcript): readonly Alteration[] {
  return swapNeighbours(transcript, commandsOf(transcript)).map(([what, altered, index]) => ({
    what,
    transcript: altered,
    line: lineOf(index),
  }));
}

/** Events that follow each other, in each other's place. */
export function swapEvents(transcript: Transcript): readonly Alteration[] {
  const events = indexed(transcript).filter(([, { msg }]) => msg.event !== undefined);
  return swapNeighbours(transcript, events).map(([what, altered]) => ({
    what,
    transcript: altered,
    line: undefined,
  }));
}

/**
 * Each command left out together with its answer. Not the question of one who polls, nor one that was asked
 * just before and answered alike: to have asked once less is a story as true as the other.
 */
export function* dropCommands(transcript: Transcript): Generator<Alteration> {
  for (const [index, { msg }] of commandsOf(transcript)) {
    if (msg.execute === 'query-pci' || isRepeated(transcript, index)) continue;
    yield {
      what: `without line ${lineOf(index)} and its answer`,
      transcript: withEntries(transcript, (entries) =>
        entries.filter((entry, at) => at !== index && !isAnswerTo(entry, msg)),
      ),
      line: undefined,
    };
  }
}

/** Each message left out by itself. */
export function dropMessages(transcript: Transcript): readonly Alteration[] {
  return transcript.entries.map((_, index) => ({
    what: `without line ${lineOf(index)}`,
    transcript: withEntries(transcript, (entries) => entries.toSpliced(index, 1)),
    line: undefined,
  }));
}

/** Whether the same question had the same answer before, and nothing has happened since. */
function isRepeated({ entries }: Transcript, index: number): boolean {
  const question = (entry: TranscriptEntry | undefined) =>
    stringifyJson([entry?.msg.execute ?? null, entry?.msg.arguments ?? null]);
  const answer = (at: number) => {
    const reply = entries.find((entry) => isAnswerTo(entry, entries[at]?.msg ?? {}));
    return stringifyJson(reply?.msg.return ?? null);
  };
  const before = entries.slice(0, index);
  const lastChange = before.findLastIndex(
    ({ dir, msg }) =>
      msg.event !== undefined ||
      (dir === 'out' && !/^(qom|query)-/.test(typeof msg.execute === 'string' ? msg.execute : '')),
  );
  const same = before.findLastIndex(
    (entry) => entry.dir === 'out' && question(entry) === question(entries[index]),
  );
  return same > lastChange && answer(same) === answer(index);
}

function isAnswerTo({ dir, msg }: TranscriptEntry, command: JsonObject): boolean {
  return dir === 'in' && msg.event === undefined && msg.QMP === undefined && msg.id === command.id;
}

/** The value with one leaf altered, for each of its leaves. */
function alterLeaves(value: JsonValue): readonly JsonValue[] {
  if (Array.isArray(value)) {
    const items = value as readonly JsonValue[];
    return items.flatMap((item, index) =>
      alterLeaves(item).map((altered) => items.with(index, altered)),
    );
  }
  if (isJsonObject(value)) {
    return Object.entries(value).flatMap(([name, member]) =>
      alterLeaves(member ?? null).map((altered) => ({ ...value, [name]: altered })),
    );
  }
  if (typeof value === 'string') return [`${value}x`];
  if (typeof value === 'boolean' || value === null) return [value !== true];
  return [BigInt(value as number | bigint) + 1n];
}

function swapNeighbours(transcript: Transcript, places: readonly Indexed[]) {
  return places.flatMap(([index, entry], position) => {
    const next = places[position + 1];
    if (next === undefined || diffMessages(entry.msg, next[1].msg).length === 0) return [];
    const [nextIndex, nextEntry] = next;
    const what = `lines ${lineOf(index)} and ${lineOf(nextIndex)} swapped`;
    const altered = withEntries(transcript, (entries) =>
      entries
        .with(index, { ...entry, msg: withIdOf(entry, nextEntry) })
        .with(nextIndex, { ...nextEntry, msg: withIdOf(nextEntry, entry) }),
    );
    return [[what, altered, index] as const];
  });
}

/** A message in another's place: the answers stay with the places. */
function withIdOf({ msg: { id } }: TranscriptEntry, { msg }: TranscriptEntry): JsonObject {
  return id === undefined ? msg : { ...msg, id };
}

function commandsOf(transcript: Transcript): readonly Indexed[] {
  return indexed(transcript).filter(([, { dir }]) => dir === 'out');
}

function indexed({ entries }: Transcript): readonly Indexed[] {
  return [...entries.entries()];
}

function withEntries(
  { header, entries }: Transcript,
  change: (entries: readonly TranscriptEntry[]) => readonly TranscriptEntry[],
): Transcript {
  return { header, entries: change(entries) };
}

/** Line of an entry in its file: the header is line 1. */
const lineOf = (index: number) => index + 2;
