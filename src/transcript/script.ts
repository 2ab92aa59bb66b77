import { stringifyJson, type JsonObject, type JsonValue } from '../json.js';
import { lineOf, type Transcript } from './format.js';

/** A command that the recorded client sent. */
export interface ScriptCommand {
  readonly line: number;
  readonly t: number;
  readonly msg: JsonObject;
}

/** A message that QEMU sent, with what has to happen before it may be played. */
export interface ScriptMessage {
  readonly line: number;
  /** Milliseconds after the recorded message before it. */
  readonly delayMs: number;
  readonly msg: JsonObject;
  /** Index of the command that this answers; undefined for the greeting, events and stray replies. */
  readonly answers: number | undefined;
  /** Commands that must have been received for this to be played. */
  readonly needs: number;
}

/** A transcript taken apart into what the client says and what QEMU says. */
export interface Script {
  readonly commands: readonly ScriptCommand[];
  readonly messages: readonly ScriptMessage[];
}

/**
 * Takes a transcript apart so that it can be played to a client of any pipelining depth.
 *
 * What QEMU sends keeps its recorded order. A reply needs its own command and no more. An event needs the
 * commands that came before it, but never more than the next reply needs: a client that waits for
 * that reply before it sends on would otherwise wait for ever.
 */
export function toScript(transcript: Transcript): Script {
  const commands: ScriptCommand[] = [];
  const messages: ScriptMessage[] = [];
  const unanswered = new Map<number, JsonValue | undefined>();
  let lastT = 0;
  transcript.entries.forEach(({ t, dir, msg }, index) => {
    const line = lineOf(index);
    if (dir === 'out') {
      unanswered.set(commands.length, msg.id);
      commands.push({ line, t, msg });
    } else {
      const answers = answeredBy(msg, unanswered);
      if (answers !== undefined) unanswered.delete(answers);
      const needs = answers === undefined ? commands.length : answers + 1;
      messages.push({ line, delayMs: t - lastT, msg, answers, needs });
    }
    lastT = t;
  });
  return { commands, messages: relaxEvents(messages) };
}

/** The command that a reply belongs to: by id, or the oldest one without an id. */
function answeredBy(
  msg: JsonObject,
  unanswered: ReadonlyMap<number, JsonValue | undefined>,
): number | undefined {
  if (msg.return === undefined && msg.error === undefined) return undefined;
  const key = (id: JsonValue | undefined) => (id === undefined ? undefined : stringifyJson(id));
  for (const [index, id] of unanswered) if (key(id) === key(msg.id)) return index;
  return undefined;
}

function relaxEvents(messages: readonly ScriptMessage[]): readonly ScriptMessage[] {
  let nextReplyNeeds = Infinity;
  return messages
    .toReversed()
    .map((message) => {
      if (message.answers !== undefined) nextReplyNeeds = message.needs;
      return { ...message, needs: Math.min(message.needs, nextReplyNeeds) };
    })
    .toReversed();
}
