#!/usr/bin/env node
import { runCli } from './run.js';

const stop = new AbortController();

// The first signal stops the waiting, the second ends the process as if nobody had listened.
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (stop.signal.aborted) {
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
      return;
    }
    stop.abort(new Error(signal));
  });
}

// A reader that has left (`| head`) does not change what was done.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

const flushed = (stream: NodeJS.WriteStream) =>
  new Promise<void>((resolve) => stream.write('', () => resolve()));

const status = await runCli({
  args: process.argv.slice(2),
  env: process.env,
  stdout: process.stdout,
  stderr: process.stderr,
  signal: stop.signal,
});
await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
// A host operation that never comes back must not keep the process: its child is on its own.
process.exit(status);
