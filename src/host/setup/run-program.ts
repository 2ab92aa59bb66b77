import { spawn } from 'node:child_process';
import { HostIoError } from '../effects.js';
import type { ProgramResult } from './setup-host.js';

const MAX_OUTPUT_CHARACTERS = 16 * 1024 * 1024;

/**
 * Runs a program to its end with a fixed environment: what it prints must not depend on who asks.
 *
 * @throws {HostIoError} the errno where it could not be started; `ETIMEDOUT` and `stuck` at the deadline, after
 * the program and its children were killed.
 */
export function runProgram(
  argv: readonly string[],
  { path, deadlineMs }: { readonly path: string; readonly deadlineMs: number },
): Promise<ProgramResult> {
  const [program = '', ...args] = argv;
  const shown = argv.join(' ');
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: path, LC_ALL: 'C', HOME: '/root' },
    });
    const output = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        if (output[name].length < MAX_OUTPUT_CHARACTERS) output[name] += text;
      });
    }
    const timer = setTimeout(() => {
      if (child.pid !== undefined) killGroup(child.pid);
      child.stdout.destroy();
      child.stderr.destroy();
      child.unref();
      reject(new HostIoError('ETIMEDOUT', 'run', shown, { stuck: true, childPid: child.pid }));
    }, deadlineMs);
    child.once('error', (cause: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      reject(new HostIoError(cause.code ?? 'EIO', 'run', shown, { cause }));
    });
    child.once('close', (status, signal) => {
      clearTimeout(timer);
      const ended = status ?? 128;
      resolve({
        ...output,
        status: ended,
        stderr: signal === null ? output.stderr : `${output.stderr}${signal}`,
      });
    });
  });
}

/** The program leads a process group of its own. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Everyone in it has ended.
  }
}
