import type { Clock } from '../clock.js';
import { QmplugError } from '../errors.js';
import { parseJson, stringifyJson, type JsonObject, type JsonValue } from '../json.js';
import { JsonFramer } from '../qmp/framer.js';
import type { FileSender, QmpTransport, TransportHandlers } from '../qmp/transport.js';
import { excerpt } from '../text.js';
import { describeMessage, diffMessages, formatDifferences } from './compare.js';
import { checkMessage, type Transcript, type TranscriptHeader } from './format.js';
import { toScript, type Script, type ScriptMessage } from './script.js';

/** The client did not say what the transcript has, or did not say all of it. */
export class TranscriptMismatchError extends QmplugError {
  constructor(header: TranscriptHeader, message: string, options: { line?: number } = {}) {
    super('TRANSCRIPT_MISMATCH', `transcript ${excerpt(header.scenario)}: ${message}`, {
      remedy: 'correct the code, or record the scenario again if the change is meant',
      details: { scenario: header.scenario, line: options.line ?? null },
    });
  }
}

export interface PlayerOptions {
  /**
   * With a clock every message of QEMU comes as long after the message before it as it did in the
   * recording; without one, as soon as it may.
   */
  readonly clock?: Clock | undefined;
  /**
   * Files that come along with commands get lost before they reach the player, as on a socket that Node reads;
   * then it is not checked whether they come. Default false.
   */
  readonly losesFiles?: boolean | undefined;
}

/** A stand-in for QEMU that says what a transcript says, as long as the client does. */
export interface TranscriptPlayer extends QmpTransport {
  /** The first mismatch, once there was one; the transport has ended with it. */
  readonly mismatch: TranscriptMismatchError | undefined;
  /**
   * To be called when the client is done. Plays what is still due, then checks that nothing is left;
   * events after the last reply may be left where the client has closed the transport itself.
   *
   * @throws {TranscriptMismatchError} the first mismatch, or what was left.
   */
  finish(): void;
}

/**
 * A fake QEMU that follows a transcript. Each command of the client is compared with the recorded one,
 * name and arguments exactly; the order of members and the ids mean nothing, and replies carry the
 * client's own ids. The first difference ends the transport. Where the recorded QEMU ended (its last command
 * went unanswered, or SHUTDOWN was its last word), so does the player.
 *
 * @param transcript of one session; `splitSessions` makes several of a recording of several clients.
 * @throws {InputError} `BAD_TRANSCRIPT`: its replies and commands do not belong together.
 */
export function createPlayer(
  transcript: Transcript,
  options: PlayerOptions = {},
): TranscriptPlayer {
  return new Player(transcript, options);
}

class Player implements TranscriptPlayer {
  readonly address: string;
  readonly #header: TranscriptHeader;
  readonly #script: Script;
  readonly #clock: Clock | undefined;
  readonly #losesFiles: boolean;
  /** How files come along; only where some did, so that who has none to give does as it did. */
  readonly files: FileSender | undefined;
  readonly #framer = new JsonFramer((text) => {
    this.#receive(text);
  });
  /** Ids of the commands received so far. */
  readonly #ids: (JsonValue | undefined)[] = [];
  #played = 0;
  /** Whether a file came along with what is being received. */
  #carries = false;
  #handlers: TransportHandlers | undefined;
  #state: 'open' | 'closed-by-client' | 'ended' = 'open';
  #cancelNext: (() => void) | undefined;
  #mismatch: TranscriptMismatchError | undefined;

  constructor(transcript: Transcript, { clock, losesFiles = false }: PlayerOptions) {
    this.#header = transcript.header;
    this.#script = toScript(transcript);
    this.#clock = clock;
    this.#losesFiles = losesFiles;
    this.files = this.#script.commands.some(({ fd }) => fd)
      ? {
          obstacle: () => Promise.resolve(undefined),
          send: (data) => {
            this.#carries = true;
            return this.send(data);
          },
        }
      : undefined;
    this.address = `transcript:${transcript.header.scenario}`;
  }

  get mismatch(): TranscriptMismatchError | undefined {
    return this.#mismatch;
  }

  start(handlers: TransportHandlers): void {
    this.#handlers = handlers;
    this.#schedule();
  }

  async send(data: Uint8Array): Promise<void> {
    if (this.#state !== 'open') throw this.#mismatch ?? new Error('The transport is closed');
    try {
      this.#framer.push(data);
    } catch (error) {
      if (!(error instanceof QmplugError)) throw error;
      this.#end(
        error instanceof TranscriptMismatchError ? error : this.#differs(this.#badBytes(error)),
      );
    }
    this.#schedule();
  }

  close(): void {
    if (this.#state !== 'open') return;
    this.#state = 'closed-by-client';
    this.#cancelNext?.();
    setImmediate(() => this.#handlers?.onClose());
  }

  finish(): void {
    this.#cancelNext?.();
    this.#cancelNext = undefined;
    while (this.#state === 'open' && this.#due() !== undefined) this.#play();
    if (this.#mismatch) throw this.#mismatch;
    const leftover = this.#leftover();
    if (leftover !== undefined) throw this.#differs(leftover);
  }

  #receive(text: string): void {
    if (this.#mismatch) return;
    const received = checkMessage('out', parseJson(text));
    const expected = this.#script.commands[this.#ids.length];
    if (expected === undefined) {
      const what = `${describeMessage(received)} ${excerpt(stringifyJson(received.arguments ?? {}))}`;
      throw this.#differs({ message: `the client sent ${what} after the last recorded command` });
    }
    const differences = diffMessages(expected.msg, received);
    const place = `command ${this.#ids.length + 1} (line ${expected.line})`;
    if (differences.length > 0) {
      throw this.#differs({
        message:
          `${place} should be ${describeMessage(expected.msg)}; - recorded, + sent by the client:\n` +
          formatDifferences(differences),
        line: expected.line,
      });
    }
    const carried = this.#carries;
    this.#carries = false;
    if (!this.#losesFiles && carried !== expected.fd) {
      const message = `${place}, ${describeMessage(received)}, should come with${expected.fd ? '' : 'out'} a file descriptor`;
      throw this.#differs({ message, line: expected.line });
    }
    this.#ids.push(received.id);
  }

  /** The message to play next, if its time has come. */
  #due(): ScriptMessage | undefined {
    const next = this.#script.messages[this.#played];
    return next !== undefined && this.#ids.length >= next.needs ? next : undefined;
  }

  /**
   * One message per turn of the event loop: between a reply and an event the client gets as far as it
   * would with a real QEMU, where at least a read lies between them.
   */
  #schedule(): void {
    if (this.#cancelNext !== undefined || this.#state !== 'open' || !this.#handlers) return;
    const next = this.#due();
    if (next === undefined) {
      this.#closeIfOver();
      return;
    }
    const play = () => {
      this.#cancelNext = undefined;
      this.#play();
      this.#schedule();
    };
    if (this.#clock && next.delayMs > 0) {
      this.#cancelNext = this.#clock.after(next.delayMs, play);
    } else {
      const immediate = setImmediate(play);
      this.#cancelNext = () => {
        clearImmediate(immediate);
      };
    }
  }

  #play(): void {
    const next = this.#due();
    if (next === undefined || this.#state !== 'open') return;
    this.#played += 1;
    const msg = next.answers === undefined ? next.msg : withId(next.msg, this.#ids[next.answers]);
    this.#handlers?.onData(Buffer.from(`${stringifyJson(msg)}\r\n`));
  }

  /** Closes as the recorded QEMU did, once all is said. */
  #closeIfOver(): void {
    const { closes, commands, messages } = this.#script;
    if (!closes || this.#state !== 'open') return;
    if (this.#played < messages.length || this.#ids.length < commands.length) return;
    this.#state = 'ended';
    setImmediate(() => this.#handlers?.onClose());
  }

  #end(mismatch: TranscriptMismatchError): void {
    this.#mismatch = mismatch;
    this.#state = 'ended';
    this.#cancelNext?.();
    setImmediate(() => this.#handlers?.onClose(mismatch));
  }

  #badBytes(error: QmplugError): { message: string; line?: number } {
    const expected = this.#script.commands[this.#ids.length];
    const message = `the client sent something that is no command: ${error.message}`;
    return expected === undefined ? { message } : { message, line: expected.line };
  }

  #leftover(): { message: string; line?: number } | undefined {
    if (this.#framer.pendingBytes > 0) {
      return { message: `the client sent ${this.#framer.pendingBytes} bytes of half a command` };
    }
    const unsent = this.#script.commands.slice(this.#ids.length);
    const remaining = this.#script.messages.slice(this.#played);
    const isOwed =
      this.#state !== 'closed-by-client' || remaining.some((m) => m.answers !== undefined);
    const unplayed = isOwed ? remaining : [];
    const left = [...unsent, ...unplayed].sort((a, b) => a.line - b.line);
    const [first] = left;
    if (first === undefined) return undefined;
    const shown = left
      .slice(0, 5)
      .map(({ line, msg }) => `line ${line} ${describeMessage(msg)}`)
      .join(', ');
    const more = left.length > 5 ? ` and ${left.length - 5} more` : '';
    return {
      message: `${left.length} recorded messages were not reached: ${shown}${more}`,
      line: first.line,
    };
  }

  #differs({ message, line }: { message: string; line?: number }): TranscriptMismatchError {
    return new TranscriptMismatchError(this.#header, message, line === undefined ? {} : { line });
  }
}

/** The reply with the id of the command it answers; without one where that has none. */
function withId(msg: JsonObject, id: JsonValue | undefined): JsonObject {
  return { ...msg, id };
}
