import type { Socket } from 'node:net';
import type { Clock } from '../clock.js';
import { relay } from '../qmp/relay.js';
import type { Transcript } from './format.js';
import { createPlayer } from './player.js';
import { splitSessions } from './sessions.js';

export interface ReplaySessionsOptions {
  /** Who takes the player for QEMU; the first gets the first session, and so on. */
  readonly clients: AsyncIterable<Socket>;
  /** With a clock messages come after their recorded delays; without one, as soon as they may. */
  readonly clock?: Clock | undefined;
  /** Ends the connections that are open, and the replay. */
  readonly signal?: AbortSignal | undefined;
}

/** What a replay came to when every client said what was recorded. */
export interface ReplayedSessions {
  readonly sessionCount: number;
  readonly messageCount: number;
}

/**
 * Plays a transcript to clients of a socket, session by session, until the last has ended. Node cannot receive the
 * file descriptors that come along with commands, so whether they do is not checked.
 *
 * @throws {TranscriptMismatchError} a client said something else, or not everything; or the replay was ended
 * before every session was played.
 * @throws {InputError} `BAD_TRANSCRIPT`
 */
export async function replaySessions(
  transcript: Transcript,
  { clients, clock, signal }: ReplaySessionsOptions,
): Promise<ReplayedSessions> {
  // All of them first: a damaged transcript must not come to light in the middle.
  const players = splitSessions(transcript).map((session) =>
    createPlayer(session, { clock, losesFiles: true }),
  );
  const waiting = clients[Symbol.asyncIterator]();
  for (const player of players) {
    const next = signal?.aborted ? { done: true as const } : await waiting.next();
    if (!next.done) await relay(next.value, player, { signal });
    player.finish();
  }
  return { sessionCount: players.length, messageCount: transcript.entries.length };
}
