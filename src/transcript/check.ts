import { stringifyJson } from '../json.js';
import { excerpt } from '../text.js';
import { lineOf, readTranscript, type Transcript, type TranscriptEntry } from './format.js';
import { pairReplies } from './pairing.js';
import { splitSessions } from './sessions.js';

/** Something that a transcript should not have; the header is line 1. */
export interface TranscriptFinding {
  readonly line: number;
  readonly message: string;
}

export interface CheckedTranscript {
  /** What could be read; undefined where not even the header could. */
  readonly transcript: Transcript | undefined;
  readonly sessionCount: number;
  /** In the order of their lines; none in a sound transcript. */
  readonly findings: readonly TranscriptFinding[];
}

/**
 * Everything that is wrong with a transcript: lines that cannot be read, replies without commands, commands
 * whose reply is missing, ids in use twice. A command that the end of its session left unanswered is none.
 */
export function checkTranscript(text: string): CheckedTranscript {
  const { header, entries, faults } = readTranscript(text);
  const findings: TranscriptFinding[] = faults.map(({ line, reason }) => ({
    line,
    message: reason,
  }));
  // Where lines are missing, what belongs together cannot be told.
  if (faults.length === 0) {
    const { problems } = pairReplies(entries);
    findings.push(
      ...problems.map(({ index, reason }) => ({ line: lineOf(index), message: reason })),
      ...findDoubleIds(entries),
    );
    if (entries.length === 0) findings.push({ line: 1, message: 'there is no message' });
  }
  const transcript = header === undefined ? undefined : { header, entries };
  return {
    transcript,
    sessionCount: transcript === undefined ? 0 : splitSessions(transcript).length,
    findings: findings.sort((a, b) => a.line - b.line),
  };
}

/** A reply to an id that two commands wait with belongs to neither for certain. */
function findDoubleIds(entries: readonly TranscriptEntry[]): readonly TranscriptFinding[] {
  const open = new Map<string, number>();
  return entries.flatMap(({ dir, msg }, index) => {
    if (msg.QMP !== undefined && index > 0) open.clear();
    if (msg.id === undefined) return [];
    const id = stringifyJson(msg.id);
    if (dir === 'in') {
      open.delete(id);
      return [];
    }
    const other = open.get(id);
    open.set(id, index);
    if (other === undefined) return [];
    const message = `id ${excerpt(id, 40)} is that of line ${lineOf(other)}, which waits for its reply`;
    return [{ line: lineOf(index), message }];
  });
}
