import type { JsonValue } from '../json.js';
import type { Logger } from '../logger.js';
import { excerpt } from '../text.js';
import type { LateReply } from './command-queue.js';

/**
 * Counts what a peer sent that belongs to no command that anybody still waits for. With a genuine QEMU and no
 * timeouts it is what an earlier client has left behind, or nothing.
 */
export class StrayReplies {
  unknownCount = 0;
  lateCount = 0;
  readonly #address: string;
  readonly #logger: Logger;
  readonly #onLateReply: ((late: LateReply) => void) | undefined;

  constructor(
    address: string,
    logger: Logger,
    onLateReply: ((late: LateReply) => void) | undefined,
  ) {
    this.#address = address;
    this.#logger = logger;
    this.#onLateReply = onLateReply;
  }

  /** A reply whose id was never sent, or was answered before. */
  addUnknown(id: JsonValue | undefined): void {
    this.unknownCount += 1;
    // A flood of replies must not become a flood of log lines.
    if (!isPowerOfTwo(this.unknownCount)) return;
    const shown = typeof id === 'object' ? 'a structure' : excerpt(String(id), 40);
    const details = { address: this.#address, id: shown, count: this.unknownCount };
    this.#logger.warn(details, 'ignored a reply to no command of ours');
  }

  /** The answer to a command whose caller has given up. */
  addLate(late: LateReply): void {
    this.lateCount += 1;
    const details = { address: this.#address, command: late.command, reply: late.reply.kind };
    this.#logger.debug(details, 'an answer came after its caller had given up');
    try {
      this.#onLateReply?.(late);
    } catch (error) {
      this.#logger.error({ address: this.#address, error }, 'the late-reply hook threw');
    }
  }
}

const isPowerOfTwo = (count: number) => (count & (count - 1)) === 0;
