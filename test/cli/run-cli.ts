import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCli } from '../../src/cli/run.js';

export interface CliRun {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly signal?: AbortSignal;
  /** Whether stderr is a terminal. */
  readonly terminal?: boolean;
  /** Makes stdout a terminal of this width. */
  readonly columns?: number;
  /** Called with what is written to stderr, as it is. */
  readonly onStderr?: (text: string) => void;
  readonly onStdout?: (text: string) => void;
}

/** Runs a command line in this process, with streams that keep what is written. */
export async function cli(args: readonly string[], options: CliOptions = {}): Promise<CliRun> {
  let stdout = '';
  let stderr = '';
  const status = await runCli({
    args,
    env: options.env ?? {},
    stdout: {
      write: (text) => {
        stdout += text;
        options.onStdout?.(text);
      },
      isTTY: options.columns !== undefined,
      columns: options.columns,
    },
    stderr: {
      write: (text) => {
        stderr += text;
        options.onStderr?.(text);
      },
      isTTY: options.terminal ?? false,
    },
    signal: options.signal ?? new AbortController().signal,
  });
  return { status, stdout, stderr };
}

/** The one JSON document on stdout; throws for none, for more than one and for what is not on one line. */
export function documentOf({ stdout, stderr }: CliRun): Record<string, unknown> {
  const lines = stdout.split('\n');
  if (lines.length !== 2 || lines[1] !== '') {
    throw new Error(`not one document: ${JSON.stringify(stdout)}; stderr: ${stderr}`);
  }
  // Every document of the command line is an object.
  return JSON.parse(lines[0] ?? '') as Record<string, unknown>;
}

/** A directory for one test, and the settings that keep a command line inside of it. */
export class CliHome implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'qmplug-cli-'));
  readonly env = {
    QMPLUG_STATE_DIR: join(this.directory, 'state'),
    QMPLUG_RUN_DIR: join(this.directory, 'run'),
  };

  run(args: readonly string[], options: CliOptions = {}): Promise<CliRun> {
    return cli(args, { ...options, env: { ...this.env, ...options.env } });
  }

  /** Runs with `--json` and gives the document with the exit status. */
  async json(
    args: readonly string[],
    options: CliOptions = {},
  ): Promise<{ status: number; document: Record<string, unknown>; stderr: string }> {
    const ran = await this.run([...args, '--json'], options);
    return { status: ran.status, document: documentOf(ran), stderr: ran.stderr };
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
