import type { Transcript, TranscriptEntry } from './format.js';

/**
 * The sessions of a transcript, one for each greeting, in order (without any greeting, one). A recording of several clients, one after
 * the other, has several; times go on from one to the next.
 */
export function splitSessions({ header, entries }: Transcript): readonly Transcript[] {
  const sessions: TranscriptEntry[][] = [[]];
  let greeted = false;
  for (const entry of entries) {
    const isGreeting = entry.dir === 'in' && entry.msg.QMP !== undefined;
    // What a client sends before its first greeting belongs to it.
    if (isGreeting && greeted) sessions.push([]);
    greeted ||= isGreeting;
    sessions.at(-1)?.push(entry);
  }
  return sessions.map((session) => ({ header, entries: session }));
}
