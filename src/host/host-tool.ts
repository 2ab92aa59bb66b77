import { spawn } from 'node:child_process';
import { HostIoError } from './effects.js';

const MAX_STDERR_CHARACTERS = 4096;
const MAX_STDOUT_CHARACTERS = 1 << 20;

/**
 * Runs a program of the host and waits for its end, at most until the deadline.
 *
 * @returns what it wrote to stdout, once it ended with status 0.
 * @throws {HostIoError} `ETIMEDOUT` and `stuck` at the deadline, the errno where it could not be
 * started, `EIO` with what it said on stderr as the cause for another status.
 */
export function runHostTool(
  program: string,
  args: readonly string[],
  options: { readonly deadlineMs: number },
): Promise<string> {
  const shown = [program, ...args].join(' ');
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      stdout = (stdout + chunk).slice(0, MAX_STDOUT_CHARACTERS);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      stderr = (stderr + chunk.toString()).slice(0, MAX_STDERR_CHARACTERS);
    });
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      child.unref();
      child.stdout.destroy();
      child.stderr.destroy();
      reject(new HostIoError('ETIMEDOUT', 'run', shown, { stuck: true, childPid: child.pid }));
    }, options.deadlineMs);
    child.once('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      reject(new HostIoError(error.code ?? 'EIO', 'run', shown, { cause: error }));
    });
    child.once('close', (status, signal) => {
      clearTimeout(timer);
      if (status === 0) {
        resolve(stdout);
        return;
      }
      const end = signal === null ? `exit status ${status ?? 'unknown'}` : signal;
      const said = stderr.trim();
      const cause = new Error(said === '' ? end : `${end}: ${said}`);
      reject(new HostIoError('EIO', 'run', shown, { cause }));
    });
  });
}
