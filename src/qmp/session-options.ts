import type { Clock } from '../clock.js';
import type { Logger } from '../logger.js';
import type { LateReply } from './command-queue.js';
import type { QmpEvent } from './session.js';

/** Settings of opening a session on a transport. */
export interface SessionOptions {
  /** Time until QEMU has sent its greeting. Default 5,000 ms. */
  readonly greetingDeadlineMs?: number | undefined;
  /** Time for the answer to `qmp_capabilities`. Default 5,000 ms. */
  readonly negotiationDeadlineMs?: number | undefined;
  /** Largest message that is accepted, in bytes. Default 16 MiB. */
  readonly maxMessageBytes?: number | undefined;
  /** Gives up the opening; it does nothing once the session is ready. */
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
  /** A listener that misses nothing: events may follow the negotiation at once. */
  readonly onEvent?: ((event: QmpEvent) => void) | undefined;
  /** Told of the answer to a command that its caller had given up. */
  readonly onLateReply?: ((late: LateReply) => void) | undefined;
}

/** Settings of connecting and opening a session. */
export interface ConnectQmpOptions extends SessionOptions {
  /** Time to reach the socket, or to start the command. Default 5,000 ms. */
  readonly connectDeadlineMs?: number | undefined;
}
