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

// Where nothing can be told, the work goes on all the same: a change must not end half way for a full disk. A
// reader that has left (`| head`) does not change what was done; who never got the result hears so by the status.
let isResultLost = false;
process.stderr.on('error', () => undefined);
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') return;
  isResultLost = true;
  process.stderr.write(`qmplug: the result cannot be written: ${error.message}\n`);
});

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
process.exit(isResultLost && status === 0 ? 1 : status);
