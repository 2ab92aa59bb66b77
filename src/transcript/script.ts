import { InputError } from '../errors.js';
import type { JsonObject } from '../json.js';
import { lineOf, type Transcript } from './format.js';
import { pairReplies } from './pairing.js';

/** A command that the recorded client sent. */
export interface ScriptCommand {
  readonly line: number;
  readonly t: number;
  readonly msg: JsonObject;
  /** Whether a file descriptor went along. */
  readonly fd: boolean;
}

/** A message that QEMU sent, with what has to happen before it may be played. */
export interface ScriptMessage {
  readonly line: number;
  /** Milliseconds after the recorded message before it. */
  readonly delayMs: number;
  readonly msg: JsonObject;
  /** Index of the command that this answers; undefined for the greeting and events. */
  readonly answers: number | undefined;
  /** Commands that must have been received for this to be played. */
  readonly needs: number;
}

/** A transcript taken apart into what the client says and what QEMU says. */
export interface Script {
  readonly commands: readonly ScriptCommand[];
  readonly messages: readonly ScriptMessage[];
  /** Whether QEMU closed the connection after the last message. */
  readonly closes: boolean;
}

/**
 * Takes a transcript of one session apart so that it can be played to a client of any pipelining depth.
 *
 * What QEMU sends keeps its recorded order. A reply needs its own command and no more. An event needs the
 * commands that came before it, but never more than the next reply needs: a client that waits for
 * that reply before it sends on would otherwise wait for ever.
 *
 * @throws {InputError} `BAD_TRANSCRIPT`: a reply has no command, or its reply is missing, or there is more than
 * one session.
 */
export function toScript({ entries }: Transcript): Script {
  const { answers, unanswered, problems } = pairReplies(entries);
  const [problem] = problems;
  if (problem !== undefined) throw bad(problem.index, problem.reason);
  const commands: ScriptCommand[] = [];
  const messages: ScriptMessage[] = [];
  /** Number of a command, by the index of its entry. */
  const numbers = new Map<number, number>();
  let lastT = 0;
  let greeted = false;
  entries.forEach(({ t, dir, fd = false, msg }, index) => {
    const line = lineOf(index);
    if (dir === 'out') {
      numbers.set(index, commands.length);
      commands.push({ line, t, msg, fd });
    } else {
      if (msg.QMP !== undefined) {
        if (greeted) throw bad(index, 'a second session begins here');
        greeted = true;
      }
      const command = answers.get(index);
      const number = command === undefined ? undefined : numbers.get(command);
      const needs = number === undefined ? commands.length : number + 1;
      messages.push({ line, delayMs: t - lastT, msg, answers: number, needs });
    }
    lastT = t;
  });
  const closes = unanswered.length > 0 || isFarewell(entries);
  return { commands, messages: relaxEvents(messages), closes };
}

/** QEMU says nothing after SHUTDOWN, and nothing after it has answered `quit`. */
function isFarewell(entries: Transcript['entries']): boolean {
  const last = entries.at(-1);
  if (last?.msg.event === 'SHUTDOWN') return true;
  return last?.msg.return !== undefined && entries.at(-2)?.msg.execute === 'quit';
}

function bad(index: number, reason: string): InputError {
  const line = lineOf(index);
  return new InputError('BAD_TRANSCRIPT', `line ${line}: ${reason}`, {
    remedy: 'qmplug transcript check FILE tells all that is wrong; record it again',
    details: { line },
  });
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
