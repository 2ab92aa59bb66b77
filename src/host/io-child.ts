import { spawn, type ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import { HostIoError } from './effects.js';

/** One open-and-read or open-and-write, to be done where it may block for ever. */
export type IoRequest =
  | { readonly op: 'read'; readonly path: string; readonly length?: number | undefined }
  | { readonly op: 'write'; readonly path: string; readonly data: string };

/** `data` is base64; `error` is the name of an errno. */
interface IoReply {
  readonly data?: string;
  readonly error?: string;
}

/**
 * What the child runs. It is handed over as text (`node -e`) so that it is the same program whether
 * qmplug runs from its build, from a bundle or from its TypeScript. It serves one line of JSON at a
 * time, after one empty reply that says it is ready, and ends with its standard input, hence with us. The file is opened without O_CREAT and
 * O_TRUNC: a missing attribute must be an error, never a new file.
 */
const CHILD_PROGRAM = `
  const { openSync, closeSync, readSync, writeSync, constants } = require('node:fs');
  function read({ path, length = Infinity }) {
    const file = openSync(path, constants.O_RDONLY);
    try {
      const chunks = [];
      for (let total = 0; total < length; ) {
        const chunk = Buffer.alloc(Math.min(4096, length - total));
        const count = readSync(file, chunk, 0, chunk.length, null);
        if (count === 0) break;
        chunks.push(chunk.subarray(0, count));
        total += count;
      }
      return { data: Buffer.concat(chunks).toString('base64') };
    } finally { closeSync(file); }
  }
  function write({ path, data }) {
    const file = openSync(path, constants.O_WRONLY);
    try {
      return writeSync(file, data) === Buffer.byteLength(data) ? {} : { error: 'EIO' };
    } finally { closeSync(file); }
  }
  function serve(request) {
    try { return request.op === 'read' ? read(request) : write(request); }
    catch (error) { return { error: error.code ?? 'EIO' }; }
  }
  require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
    process.stdout.write(JSON.stringify(serve(JSON.parse(line))) + '\\n');
  });
  process.stdout.write('{}\\n');
`;

const IDLE_MS = 10_000;
/** Until a child is ready; a loaded machine takes seconds, which must not count against the kernel. */
const START_DEADLINE_MS = 60_000;
const MAX_IDLE = 2;
/** An inventory reads an override per device; more children would not make it faster. */
const READS_AT_ONCE = 2;

interface Worker {
  readonly process: ChildProcess;
  readonly input: Socket;
  readonly output: Socket;
}

/**
 * Does file operations that can block inside the kernel in disposable child processes. In this
 * process a blocked one would hold one of the four libuv threads for ever and keep us from exiting.
 *
 * A child is detached, inherits nothing but its two pipes and an empty environment, and carries one
 * operation at a time. One that answers is kept for the next operation for ten seconds; one that
 * does not answer by the deadline is killed and written off. The kill withdraws an
 * operation that has not begun; one that the kernel already carries out may still complete. Until such
 * a child has really ended, every further operation on its device fails at once: a second one would
 * only queue behind the first.
 */
export class IoChildren {
  private readonly idle: { readonly worker: Worker; readonly timer: NodeJS.Timeout }[] = [];
  private reading = 0;
  private readonly waitingReaders: (() => void)[] = [];
  /** Process ids of children that did not come back, by what they were working on. */
  private readonly stuck = new Map<string, number | undefined>();
  private readonly nodePath: string;

  constructor(nodePath: string) {
    this.nodePath = nodePath;
  }

  /**
   * @param subject what the operation is about; one that is stuck bars the others on its subject.
   * @param reportedPath the path to name in errors.
   * @returns the bytes read; none for a write.
   * @throws {HostIoError} with the errno, or `ETIMEDOUT` and `stuck`.
   */
  async run(
    request: IoRequest,
    options: { subject: string; reportedPath: string; deadlineMs: number },
  ): Promise<Uint8Array> {
    const { subject, reportedPath, deadlineMs } = options;
    const fail: Failing = (errno, detail = {}) =>
      new HostIoError(errno, request.op, reportedPath, detail);
    if (request.op === 'write') return this.carryOut(request, { subject, deadlineMs, fail });
    await this.enterRead();
    try {
      return await this.carryOut(request, { subject, deadlineMs, fail });
    } finally {
      this.leaveRead();
    }
  }

  private async carryOut(
    request: IoRequest,
    options: { subject: string; deadlineMs: number; fail: Failing },
  ): Promise<Uint8Array> {
    const { subject, deadlineMs, fail } = options;
    const worker = await this.take(fail);
    if (this.stuck.has(subject)) {
      this.keep(worker);
      throw fail('ETIMEDOUT', { stuck: true, childPid: this.stuck.get(subject) });
    }
    const childPid = worker.process.pid;
    const outcome = await exchange(worker, request, deadlineMs);
    switch (outcome.kind) {
      case 'reply': {
        this.keep(worker);
        const { error, data = '' } = outcome.reply;
        if (error !== undefined) throw fail(error);
        return Buffer.from(data, 'base64');
      }
      case 'deadline':
        this.stuck.set(subject, childPid);
        worker.process.once('exit', () => this.stuck.delete(subject));
        worker.process.kill('SIGKILL');
        release(worker);
        throw fail('ETIMEDOUT', { stuck: true, childPid });
      case 'ended':
        release(worker);
        throw fail(outcome.errno, { childPid });
    }
  }

  private async enterRead(): Promise<void> {
    if (this.reading >= READS_AT_ONCE) {
      // The reader that leaves hands its place over.
      await new Promise<void>((resolve) => this.waitingReaders.push(resolve));
      return;
    }
    this.reading += 1;
  }

  private leaveRead(): void {
    const next = this.waitingReaders.shift();
    if (next === undefined) this.reading -= 1;
    else next();
  }

  private async take(fail: Failing): Promise<Worker> {
    for (let idle = this.idle.pop(); idle !== undefined; idle = this.idle.pop()) {
      clearTimeout(idle.timer);
      if (hasEnded(idle.worker.process)) continue;
      hold(idle.worker);
      return idle.worker;
    }
    const worker = startWorker(this.nodePath);
    const greeting = await exchange(worker, undefined, START_DEADLINE_MS);
    if (greeting.kind === 'reply') return worker;
    worker.process.kill('SIGKILL');
    release(worker);
    throw fail(greeting.kind === 'ended' ? greeting.errno : 'EAGAIN');
  }

  private keep(worker: Worker): void {
    release(worker);
    if (this.idle.length >= MAX_IDLE) {
      worker.input.end();
      return;
    }
    const timer = setTimeout(() => {
      this.idle.splice(
        this.idle.findIndex((idle) => idle.worker === worker),
        1,
      );
      worker.input.end();
    }, IDLE_MS).unref();
    this.idle.push({ worker, timer });
  }
}

type Failing = (
  errno: string,
  detail?: { stuck?: boolean; childPid?: number | undefined },
) => HostIoError;

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

function startWorker(nodePath: string): Worker {
  const child = spawn(nodePath, ['--input-type=commonjs', '-e', CHILD_PROGRAM], {
    detached: true,
    env: {},
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  // An error event without a listener would end our process; both of these show as the child's exit.
  child.on('error', () => undefined);
  child.stdin.on('error', () => undefined);
  // A pipe of a child process is a net.Socket (Node, child_process); its type does not say so.
  return { process: child, input: child.stdin as Socket, output: child.stdout as Socket };
}

/** Lets this process end although the child is still there. */
function release(worker: Worker): void {
  worker.process.unref();
  worker.input.unref();
  worker.output.unref();
}

function hold(worker: Worker): void {
  worker.process.ref();
  worker.input.ref();
  worker.output.ref();
}

type Exchange =
  | { readonly kind: 'reply'; readonly reply: IoReply }
  | { readonly kind: 'deadline' }
  | { readonly kind: 'ended'; readonly errno: string };

/** Sends a request and waits for one line; without a request only waits. */
function exchange(
  worker: Worker,
  request: IoRequest | undefined,
  deadlineMs: number,
): Promise<Exchange> {
  return new Promise((resolve) => {
    let received = '';
    const onData = (chunk: Buffer) => {
      received += chunk.toString('latin1');
      // Our own program writes the line: base64 and errno names, all ASCII.
      if (received.endsWith('\n')) {
        settle({ kind: 'reply', reply: JSON.parse(received) as IoReply });
      }
    };
    const onExit = () => {
      settle({ kind: 'ended', errno: 'EIO' });
    };
    const onError = (error: NodeJS.ErrnoException) => {
      settle({ kind: 'ended', errno: error.code ?? 'EIO' });
    };
    const timer = setTimeout(() => {
      settle({ kind: 'deadline' });
    }, deadlineMs);
    const settle = (outcome: Exchange) => {
      clearTimeout(timer);
      worker.output.off('data', onData);
      worker.process.off('exit', onExit);
      worker.process.off('error', onError);
      resolve(outcome);
    };
    worker.output.on('data', onData);
    worker.process.on('exit', onExit);
    worker.process.on('error', onError);
    if (request !== undefined) worker.input.write(`${JSON.stringify(request)}\n`);
  });
}
