import { stringifyJson, type JsonObject, type JsonValue } from '../json.js';
import { excerpt } from '../text.js';
import { lineOf, type TranscriptEntry } from './format.js';

/** A message that cannot be where it is. */
export interface PairingProblem {
  /** Of the entry, counted from 0. */
  readonly index: number;
  readonly reason: string;
}

/** Which command each reply belongs to. */
export interface Pairing {
  /** Index of the command's entry, by the index of its reply's. */
  readonly answers: ReadonlyMap<number, number>;
  /** Entries of the commands that nobody answered before the session ended, in order. */
  readonly unanswered: readonly number[];
  readonly problems: readonly PairingProblem[];
}

/**
 * Gives each reply its command: by id, and without an id the oldest command without one. QEMU answers in
 * the order of the commands, but for those sent out of band. Each further greeting begins a new session,
 * in which nothing of the one before is answered any more.
 */
export function pairReplies(entries: readonly TranscriptEntry[]): Pairing {
  const answers = new Map<number, number>();
  const problems: PairingProblem[] = [];
  const unanswered: number[] = [];
  let open = new Map<number, JsonObject>();

  let greeted = false;

  const closeSession = () => {
    unanswered.push(...open.keys());
    open = new Map();
  };
  entries.forEach(({ dir, msg }, index) => {
    if (dir === 'out') {
      open.set(index, msg);
    } else if (msg.QMP !== undefined) {
      // A client may send before it is greeted.
      if (greeted) closeSession();
      greeted = true;
    } else if (msg.event === undefined) {
      const command = commandOf(msg, open);
      if (command === undefined) {
        problems.push({ index, reason: `a reply without its command${idText(msg.id)}` });
        return;
      }
      const [skipped] = [...open].find(([other, { execute }]) => {
        return other < command && execute !== undefined;
      }) ?? [undefined];
      if (skipped !== undefined && open.get(command)?.execute !== undefined) {
        const lines = `line ${lineOf(command)} is answered before line ${lineOf(skipped)}`;
        problems.push({ index, reason: `${lines}: QEMU answers in order, so a reply is missing` });
        open.delete(skipped);
      }
      open.delete(command);
      answers.set(index, command);
    }
  });
  closeSession();
  return { answers, unanswered, problems };
}

function commandOf(reply: JsonObject, open: ReadonlyMap<number, JsonObject>): number | undefined {
  const id = keyOf(reply.id);
  for (const [index, command] of open) if (keyOf(command.id) === id) return index;
  return undefined;
}

const keyOf = (id: JsonValue | undefined) => (id === undefined ? undefined : stringifyJson(id));

function idText(id: JsonValue | undefined): string {
  return id === undefined ? ' (it has no id)' : ` (id ${excerpt(stringifyJson(id), 40)})`;
}
