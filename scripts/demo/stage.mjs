// What the scenes of the demonstration share: headings, commands with what they print, and checks.
import { execFile } from 'node:child_process';
import { join } from 'node:path';

const QMPLUG = join(import.meta.dirname, '../../dist/cli/main.js');

/** @typedef {{ status: number, stdout: string, stderr: string }} Result */
/** @typedef {(argv: readonly string[]) => Promise<Result>} Runner */

export class Stage {
  checkCount = 0;
  #start = performance.now();
  #stepCount = 0;

  /** Since the beginning, with one decimal. */
  seconds() {
    return ((performance.now() - this.#start) / 1000).toFixed(1);
  }

  /** @param {string} title */
  step(title) {
    this.#stepCount += 1;
    console.log(`\n== ${this.#stepCount}. ${title}  [${this.seconds()} s]`);
  }

  /** @param {string} text of one or more lines */
  show(text) {
    for (const line of text.trimEnd().split('\n')) console.log(`   ${line}`.trimEnd());
  }

  /**
   * @param {boolean} isSo
   * @param {string} claim what must be so, as a sentence that is told when it is
   */
  check(isSo, claim) {
    if (!isSo) throw new Error(`this should be so and is not: ${claim}`);
    this.checkCount += 1;
    console.log(`   ok: ${claim}`);
  }

  /**
   * Runs qmplug, here or where `run` runs it, and shows the command and what it prints.
   *
   * @param {readonly string[]} args
   * @param {Runner} [run]
   * @throws when it does not end with status 0.
   */
  async qmplug(args, run = runHere) {
    console.log(`   $ qmplug ${args.map(shellWord).join(' ')}`);
    const { stdout } = await runQmplug(args, run, (text) => this.show(text));
    return stdout;
  }

  /**
   * The same without showing it: the JSON document that qmplug prints.
   *
   * @param {readonly string[]} args
   * @param {Runner} [run]
   */
  async ask(args, run = runHere) {
    const { stdout } = await runQmplug([...args, '--json'], run, () => undefined);
    return JSON.parse(stdout);
  }
}

/**
 * @param {readonly string[]} args
 * @param {Runner} run
 * @param {(text: string) => void} show
 */
async function runQmplug(args, run, show) {
  const result = await run([process.execPath, QMPLUG, ...args]);
  if (result.stdout !== '') show(result.stdout);
  if (result.stderr !== '') show(result.stderr);
  if (result.status === 0) return result;
  throw new Error(`qmplug ${args[0]} ended with status ${result.status}: ${result.stderr.trim()}`);
}

/** @type {Runner} */
function runHere([command = '', ...args]) {
  return new Promise((resolve, reject) => {
    execFile(command, args, (error, stdout, stderr) => {
      const status = error === null ? 0 : error.code;
      if (typeof status === 'number') resolve({ status, stdout, stderr });
      else reject(error ?? new Error(`${command} has no exit status`));
    });
  });
}

/** @param {string} word */
function shellWord(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
