import type { Clock } from '../clock.js';
import {
  DisconnectedError,
  OutcomeUnknownError,
  QmpError,
  TimeoutError,
  type QmplugError,
} from '../errors.js';
import type { JsonObject, JsonValue } from '../json.js';
import { CommandError } from './failures.js';
import type { OpenFile } from './transport.js';
import type { ErrorReply } from './wire.js';

/** A command on its way: waiting to be sent, or sent and waiting for its answer. */
interface Command {
  readonly name: string;
  readonly args: JsonObject | undefined;
  readonly writeLine: (id: number) => string;
  readonly file: OpenFile | undefined;
  readonly deadlineMs: number;
  sent: boolean;
  /** The caller has been told something: an answer that comes now is late. */
  settled: boolean;
  /** Had its time; commands behind it no longer wait for it with their own deadlines. */
  expired: boolean;
  resolve(value: JsonValue): void;
  reject(error: QmplugError): void;
}

export interface CommandRequest {
  readonly name: string;
  readonly args: JsonObject | undefined;
  /** Makes the line for the id that the command gets when it is sent. */
  readonly writeLine: (id: number) => string;
  /** Goes along with the line. */
  readonly file?: OpenFile | undefined;
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
}

/** The answer to a command, as the peer gave it. */
export type CommandReply =
  | { readonly kind: 'return'; readonly value: JsonValue }
  | { readonly kind: 'error'; readonly error: ErrorReply };

/** An answer to a command whose caller no longer waits. It goes to nobody else. */
export interface LateReply {
  readonly command: string;
  readonly args: JsonObject | undefined;
  readonly reply: CommandReply;
}

/** Ids go round: QEMU's monitor reads byte by byte, so that each digit of one costs microseconds. */
const LARGEST_ID = 99;

/** `unknown`: no command of ours that was sent has this id. */
export type ReplyFate = 'delivered' | 'late' | 'unknown';

export interface CommandQueueOptions {
  readonly clock: Clock;
  readonly send: (line: string, file: OpenFile | undefined) => void;
  readonly onLateReply: (late: LateReply) => void;
}

/**
 * Keeps commands in the order of their calls, sends as many as the window allows, and finds for
 * each answer its own command by id.
 *
 * A command that was sent holds its place in the window until its answer comes, whatever its
 * caller was told meanwhile: without `oob` QEMU takes one command at a time, and sending the next
 * one early would leave it unread in a buffer with its time running.
 *
 * A command with a file waits for the one before it that has one, and what comes after it waits too.
 *
 * Deadlines. QEMU runs commands one after the other, so a command can only be slow once nothing
 * is ahead of it. Its deadline counts from the latest of: the moment it was sent, the last answer
 * to a command ahead of it, the deadline of the command ahead of it. So a `query-pci` sent
 * behind a slow `device_add` gets its full time; and when the monitor has stopped answering,
 * whoever waits in the queue is told after the sum of the deadlines ahead at most. A command
 * whose time ends before it was sent is never sent: `NOT_SENT`, and nothing happened.
 */
export class CommandQueue {
  readonly #clock: Clock;
  readonly #send: CommandQueueOptions['send'];
  readonly #onLateReply: (late: LateReply) => void;
  /** How many commands may be unanswered at once. */
  #window = 1;
  #lastId = 0;
  #waiting: Command[] = [];
  /** By id, in the order of sending. */
  readonly #sent = new Map<number, Command>();
  /** The one command whose deadline runs, and when it ends by the clock. */
  #timed: Command | undefined;
  #dueAt = Infinity;
  /**
   * The timer that is set: never later than `#dueAt`, often earlier, then it is set anew. One per
   * ten seconds instead of one per command, which would cost as much as all else a command costs.
   */
  #alarm: { readonly at: number; readonly cancel: () => void } | undefined;

  constructor(options: CommandQueueOptions) {
    this.#clock = options.clock;
    this.#send = options.send;
    this.#onLateReply = options.onLateReply;
  }

  set window(count: number) {
    this.#window = count;
    this.#pump();
  }

  /** Queues a command and sends it as soon as the window allows. */
  run(request: CommandRequest): Promise<JsonValue> {
    const { name, args, signal, deadlineMs } = request;
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#abort(command, signal);
      };
      const command: Command = {
        name,
        args,
        writeLine: request.writeLine,
        file: request.file,
        deadlineMs,
        sent: false,
        settled: false,
        expired: false,
        resolve(value) {
          this.settled = true;
          signal?.removeEventListener('abort', onAbort);
          resolve(value);
        },
        reject(error) {
          this.settled = true;
          signal?.removeEventListener('abort', onAbort);
          reject(error);
        },
      };
      if (signal?.aborted) {
        command.reject(abortedError(command, signal));
        return;
      }
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiting.push(command);
      this.#pump();
    });
  }

  /** Takes an answer. Ids are compared strictly: `"1"` is not 1. */
  answer(id: JsonValue | undefined, reply: CommandReply): ReplyFate {
    const command = typeof id === 'number' ? this.#sent.get(id) : undefined;
    if (typeof id !== 'number' || !command) return 'unknown';
    this.#sent.delete(id);
    const fate = command.settled ? 'late' : 'delivered';
    if (fate === 'late') {
      this.#onLateReply({ command: command.name, args: command.args, reply });
    } else if (reply.kind === 'return') {
      command.resolve(reply.value);
    } else {
      command.reject(new CommandError(command.name, command.args ?? {}, reply.error));
    }
    // QEMU was busy with this one until now: the next one's time starts over.
    this.#stopTimer();
    this.#pump();
    return fate;
  }

  /** Ends every command: the session is over. */
  fail(reason: Error | undefined): void {
    this.#stopTimer();
    this.#alarm?.cancel();
    this.#alarm = undefined;
    const unanswered = [...this.#sent.values()].filter((command) => !command.settled);
    const unsent = this.#waiting;
    this.#sent.clear();
    this.#waiting = [];
    for (const command of unanswered) command.reject(disconnectedError(command, reason));
    for (const command of unsent) command.reject(notConnectedError(command, reason));
  }

  #pump(): void {
    while (this.#sent.size < this.#window) {
      const [command] = this.#waiting;
      if (!command || (command.file && this.#isFileOnItsWay())) break;
      this.#waiting.shift();
      if (command === this.#timed) this.#stopTimer();
      command.sent = true;
      const id = this.#takeId();
      this.#sent.set(id, command);
      this.#send(command.writeLine(id), command.file);
    }
    this.#startTimer();
  }

  /**
   * QEMU keeps the file of one message until the command in it has run; the file of the next one takes its place, and
   * the first command gets that (tcp_chr_recv, chardev/char-socket.c, 7.2-11.1; seen with 7.2.22).
   */
  #isFileOnItsWay(): boolean {
    return [...this.#sent.values()].some(({ file }) => file !== undefined);
  }

  /** The next id that no unanswered command has. The window is far smaller than the ids are many. */
  #takeId(): number {
    do this.#lastId = (this.#lastId % LARGEST_ID) + 1;
    while (this.#sent.has(this.#lastId));
    return this.#lastId;
  }

  /** The first command that still has time: the one QEMU should be busy with. */
  #head(): Command | undefined {
    for (const command of this.#sent.values()) {
      if (!command.expired) return command;
    }
    return this.#waiting[0];
  }

  #startTimer(): void {
    const head = this.#head();
    if (head === this.#timed) return;
    this.#timed = head;
    this.#dueAt = head ? this.#clock.now() + head.deadlineMs : Infinity;
    this.#setAlarm();
  }

  #setAlarm(): void {
    const at = this.#dueAt;
    if (at === Infinity || (this.#alarm && this.#alarm.at <= at)) return;
    this.#alarm?.cancel();
    const cancel = this.#clock.after(at - this.#clock.now(), () => {
      this.#alarm = undefined;
      if (this.#timed && this.#clock.now() >= this.#dueAt) this.#expire(this.#timed);
      else this.#setAlarm();
    });
    this.#alarm = { at, cancel };
  }

  #stopTimer(): void {
    this.#timed = undefined;
    this.#dueAt = Infinity;
  }

  #expire(command: Command): void {
    command.expired = true;
    if (!command.sent) this.#drop(command);
    if (!command.settled) command.reject(timeoutError(command));
    this.#startTimer();
  }

  #abort(command: Command, signal: AbortSignal | undefined): void {
    if (!command.sent) this.#drop(command);
    // A command that was sent keeps its place and its time: QEMU is still busy with it.
    command.reject(abortedError(command, signal));
    this.#startTimer();
  }

  #drop(command: Command): void {
    this.#waiting = this.#waiting.filter((other) => other !== command);
  }
}

function subject({ name, args }: Command): string {
  return typeof args?.id === 'string' ? `${name} ${args.id}` : name;
}

function disconnectedError(command: Command, cause: Error | undefined): QmplugError {
  return new DisconnectedError(
    'DISCONNECTED',
    `${subject(command)}: the session ended before the answer; it may have run or not`,
    {
      cause,
      remedy: 'look at the VM before anything is repeated: qmplug recover VM',
      details: { command: command.name, sent: true },
    },
  );
}

function notConnectedError(command: Command, cause: Error | undefined): QmplugError {
  return new QmpError('NOT_CONNECTED', `${subject(command)} was not sent: the session ended`, {
    cause,
    details: { command: command.name, sent: false },
  });
}

function timeoutError(command: Command): QmplugError {
  const { name, sent, deadlineMs } = command;
  const details = { command: name, sent, deadlineMs };
  if (sent) {
    return new TimeoutError(
      'COMMAND_TIMEOUT',
      `${subject(command)}: no answer within ${deadlineMs} ms; it may still run`,
      { remedy: 'look at the VM before anything is repeated: qmplug status VM', details },
    );
  }
  return new QmpError(
    'NOT_SENT',
    `${subject(command)} was not sent: QEMU has not answered the command before it`,
    { remedy: 'wait until QEMU answers again; it works on one command at a time', details },
  );
}

function abortedError(command: Command, signal: AbortSignal | undefined): QmplugError {
  const cause: unknown = signal?.reason;
  const details = { command: command.name, sent: command.sent };
  return command.sent
    ? new OutcomeUnknownError('ABORTED', `${subject(command)}: given up; it may still run`, {
        cause,
        details,
      })
    : new QmpError('ABORTED', `${subject(command)} was given up before it was sent`, {
        cause,
        details,
      });
}
