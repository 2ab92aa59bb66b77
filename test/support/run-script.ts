import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';

/** What a script of the repository printed, its last line read as JSON. */
export interface ScriptRun<T> {
  readonly status: number | null;
  readonly stderr: string;
  readonly last: T;
}

/**
 * Runs a Node program that ends with a line of JSON.
 *
 * @throws when its last line is none.
 */
export async function runScript<T>(
  path: string,
  ...args: readonly string[]
): Promise<ScriptRun<T>> {
  const child = spawn(process.execPath, [path, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject).once('close', resolve);
  });
  const [stdout, stderr, status] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    ended,
  ]);
  try {
    // The caller names what the script prints.
    const last = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as T;
    return { status, stderr, last };
  } catch (cause) {
    throw new Error(`${path} broke off: ${stderr}\nafter: ${stdout}`, { cause });
  }
}
