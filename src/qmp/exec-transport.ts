import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { systemClock, type Clock } from '../clock.js';
import { ConnectError } from '../errors.js';
import { silentLogger, type Logger } from '../logger.js';
import { excerpt } from '../text.js';
import { formatAddress } from './address.js';
import type { ConnectOptions } from './connect-options.js';
import { connectAborted } from './opening.js';
import type { QmpTransport, TransportHandlers } from './transport.js';

/** What of the command's stderr is passed on, in bytes; the rest is read and dropped. */
const STDERR_LIMIT_BYTES = 16 * 1024;
/** How long a command may take to end by itself once its stdin is closed, after SIGTERM, and to close its stderr. */
const END_GRACE_MS = 500;

/**
 * Starts a command whose stdin and stdout speak QMP (`ssh host socat - UNIX:/run/vm.sock`). The
 * words go to execve as they are: no shell, nothing is expanded.
 *
 * When the session ends the command sees the end of its stdin, then SIGTERM, then SIGKILL.
 *
 * @throws {ConnectError} `CONNECT_FAILED`: the program cannot be run.
 * @throws {QmpError} `ABORTED`
 */
export async function connectExec(
  command: readonly [string, ...string[]],
  options: ConnectOptions = {},
): Promise<QmpTransport> {
  const { signal, clock = systemClock, logger = silentLogger } = options;
  const address = formatAddress({ kind: 'exec', command });
  if (signal?.aborted) throw connectAborted(address, signal);
  const [program, ...args] = command;
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  const transport = new ExecTransport(address, child, clock, logger);
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause: NodeJS.ErrnoException) => {
      reject(
        new ConnectError('CONNECT_FAILED', `${address}: cannot run the command`, {
          cause,
          remedy: `check that ${program} exists and may be executed`,
          details: { address, errno: cause.code },
        }),
      );
    });
  });
  return transport;
}

class ExecTransport implements QmpTransport {
  readonly address: string;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #clock: Clock;
  #handlers: TransportHandlers | undefined;
  #closing = false;
  #terminating = false;
  /** Whether a signal of ours ended the command: then its status says nothing. */
  #killed = false;
  #exited = false;
  #isEndKnown = false;
  #outputEnded = false;
  #finished = false;
  #reason: Error | undefined;
  #stderr = '';
  #cancelGrace: () => void = () => undefined;
  /** While the command has ended and its stderr has not. */
  #tellEnd: (() => void) | undefined;

  constructor(
    address: string,
    child: ChildProcessWithoutNullStreams,
    clock: Clock,
    logger: Logger,
  ) {
    this.address = address;
    this.#child = child;
    this.#clock = clock;
    // Errors of a pipe show up as the end of the session; their text adds nothing.
    child.stdin.on('error', () => undefined);
    child.stdout.on('error', () => undefined);
    child.stdout.on('close', () => {
      this.#outputEnded = true;
      this.#terminate();
      this.#finish();
    });
    child.on('error', (error) => {
      this.#reason ??= error;
    });
    child.on('exit', (code, signalName) => {
      this.#exited = true;
      this.#cancelGrace();
      this.#tellEnd = () => {
        this.#tellEnd = undefined;
        this.#cancelGrace();
        if (!this.#closing && !this.#killed) this.#reason ??= this.#ended(code, signalName);
        this.#isEndKnown = true;
        this.#finish();
      };
      // What it said last, which is why it ended, may still wait to be read; what it started may keep
      // its stderr for as long as it likes.
      if (this.#closing || child.stderr.closed) this.#tellEnd();
      else this.#cancelGrace = clock.after(END_GRACE_MS, () => this.#tellEnd?.());
    });
    child.stderr.on('close', () => this.#tellEnd?.());
    this.#passStderrOn(logger);
  }

  send(data: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#child.stdin.write(data, (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
  }

  start(handlers: TransportHandlers): void {
    this.#handlers = handlers;
    if (this.#finished) {
      queueMicrotask(() => {
        handlers.onClose(this.#reason);
      });
      return;
    }
    this.#child.stdout.on('data', (data: Uint8Array) => {
      handlers.onData(data);
    });
  }

  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    // A grandchild may hold the other end of stdout for as long as it likes.
    this.#child.stdout.destroy();
    this.#terminate();
    this.#tellEnd?.();
  }

  pause(): void {
    this.#child.stdout.pause();
  }

  resume(): void {
    this.#child.stdout.resume();
  }

  endSending(): void {
    this.#child.stdin.end();
  }

  #terminate(): void {
    if (this.#exited || this.#terminating) return;
    this.#terminating = true;
    this.#child.stdin.end();
    this.#cancelGrace = this.#clock.after(END_GRACE_MS, () => {
      // A process that was held up hears of its timers first, and then of children that have ended long since.
      setImmediate(() => {
        this.#kill();
      });
    });
  }

  #kill(): void {
    if (this.#exited) return;
    this.#killed = true;
    this.#child.kill('SIGTERM');
    this.#cancelGrace = this.#clock.after(END_GRACE_MS, () => {
      this.#child.kill('SIGKILL');
    });
  }

  #finish(): void {
    if (this.#finished || !this.#isEndKnown || !this.#outputEnded) return;
    this.#finished = true;
    this.#child.stderr.destroy();
    this.#handlers?.onClose(this.#reason);
  }

  #ended(code: number | null, signalName: NodeJS.Signals | null): Error | undefined {
    if (code === 0) return undefined;
    const how = signalName ? `was ended by ${signalName}` : `ended with status ${code}`;
    const last = this.#stderr.trim().split('\n').at(-1) ?? '';
    return new ConnectError(
      'CONNECT_FAILED',
      `${this.address}: the command ${how}${last === '' ? '' : `: ${excerpt(last)}`}`,
      { details: { address: this.address, status: code, signal: signalName } },
    );
  }

  #passStderrOn(logger: Logger): void {
    const { stderr } = this.#child;
    let byteCount = 0;
    stderr.on('error', () => undefined);
    stderr.on('data', (data: Buffer) => {
      const left = STDERR_LIMIT_BYTES - byteCount;
      byteCount += data.length;
      if (left <= 0) return;
      const text = data.subarray(0, left).toString('utf8');
      this.#stderr += text;
      for (const line of text.split('\n')) {
        if (line !== '') logger.warn({ address: this.address, line: excerpt(line) }, 'stderr');
      }
      if (byteCount > STDERR_LIMIT_BYTES) {
        logger.warn({ address: this.address }, 'further stderr of the command is dropped');
      }
    });
  }
}
