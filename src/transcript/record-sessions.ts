import type { Socket } from 'node:net';
import type { Clock } from '../clock.js';
import { relay } from '../qmp/relay.js';
import type { QmpTransport } from '../qmp/transport.js';
import type { TranscriptEntry } from './format.js';
import { recordTransport } from './recorder.js';
import { createMask } from './secrets.js';

export interface RecordSessionsOptions {
  /** Reaches QEMU; called once for each client. */
  readonly connect: () => Promise<QmpTransport>;
  /** Who wants to talk to QEMU; served one after the other, as QEMU does. */
  readonly clients: AsyncIterable<Socket>;
  readonly clock: Clock;
  /** Called for each message, in the order in which they passed; sessions follow each other. */
  readonly onEntry: (entry: TranscriptEntry) => void;
  /** Records passwords and other secrets as they are. Default false: they are masked. */
  readonly showSecrets?: boolean | undefined;
  /**
   * Called when a client asks QEMU to take a file descriptor. Node cannot pass one on, so QEMU finds none and
   * refuses; the client hears that.
   */
  readonly onFileDescriptor?: ((command: string) => void) | undefined;
  /** Ends the connections that are open, and the recording. */
  readonly signal?: AbortSignal | undefined;
  /** Ends after the first client. */
  readonly once?: boolean | undefined;
}

/** What came of a recording. */
export interface RecordedSessions {
  readonly sessionCount: number;
  readonly messageCount: number;
  /** Why it ended: told to, or the last client left under `once`, or QEMU closed its monitor. */
  readonly endedBy: 'signal' | 'client' | 'server';
  /** What a transcript cannot hold: the recording stops there, and is incomplete. */
  readonly fault: unknown;
}

/** Commands that take a file descriptor out of the message they come with (QEMU monitor/fds.c, 10.0). */
const TAKES_DESCRIPTOR: ReadonlySet<unknown> = new Set(['getfd', 'add-fd']);

/**
 * Stands between QEMU and its clients and records what they say. Bytes pass unchanged in both directions,
 * also after a fault; a command is recorded before QEMU has it, a reply before the client has it.
 *
 * @throws {ConnectError} QEMU cannot be reached for the first client.
 */
export async function recordSessions(options: RecordSessionsOptions): Promise<RecordedSessions> {
  const { clock, clients, connect, signal, once } = options;
  const beganAt = clock.now();
  const recorded = { sessionCount: 0, messageCount: 0, fault: undefined as unknown };
  for await (const client of clients) {
    let server: QmpTransport;
    try {
      server = await connect();
    } catch (error) {
      client.destroy();
      // A QEMU that has ended since then is the ordinary end of a recording.
      if (recorded.sessionCount > 0) return { ...recorded, endedBy: 'server' };
      throw error;
    }
    recorded.sessionCount += 1;
    const mask = options.showSecrets ? (entry: TranscriptEntry) => entry : createMask();
    const recording = recordTransport(server, {
      clock,
      beganAt,
      onEntry: (entry) => {
        if (recorded.fault !== undefined) return;
        announceDescriptor(entry, options);
        options.onEntry(mask(entry));
        recorded.messageCount += 1;
      },
      onFault: (error) => {
        recorded.fault ??= error;
      },
    });
    const end = await relay(client, recording, { clock, signal, serverSpeaksFirst: true });
    if (signal?.aborted) break;
    if (end.endedBy === 'server') return { ...recorded, endedBy: 'server' };
    if (once) return { ...recorded, endedBy: 'client' };
  }
  return { ...recorded, endedBy: 'signal' };
}

function announceDescriptor({ dir, msg }: TranscriptEntry, options: RecordSessionsOptions): void {
  const command = msg.execute ?? msg['exec-oob'];
  if (dir !== 'out' || !TAKES_DESCRIPTOR.has(command) || typeof command !== 'string') return;
  options.onFileDescriptor?.(command);
}
