import type { Clock } from '../clock.js';
import type { Logger } from '../logger.js';

/** Settings of opening a transport. */
export interface ConnectOptions {
  /** Time to reach the other end. Default 5,000 ms. */
  readonly deadlineMs?: number | undefined;
  /** Gives up the attempt; it does nothing once the transport is open. */
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
}

export const DEFAULT_CONNECT_DEADLINE_MS = 5_000;
