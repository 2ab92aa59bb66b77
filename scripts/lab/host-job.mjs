// A program running inside the nested VFIO host, seen from outside.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/**
 * @typedef {object} JobOptions
 * @property {string} [cwd] default: this process's own; the host sees the same files
 * @property {Readonly<Record<string, string>>} [env] added to PATH and HOME
 * @property {string} [stdin] default empty
 */

/** @typedef {{ status: number, stdout: string, stderr: string }} JobResult */

const quote = (/** @type {string} */ text) => `'${text.replaceAll("'", `'\\''`)}'`;

export class HostJob {
  #directory;
  #agent;
  #id;
  #title;

  /**
   * @param {string} directory of the job, on this side of the share
   * @param {import('./agent.mjs').Agent} agent
   * @param {string} id
   * @param {readonly string[]} argv
   */
  constructor(directory, agent, id, argv) {
    this.#directory = directory;
    this.#agent = agent;
    this.#id = id;
    this.#title = argv.join(' ');
  }

  /**
   * @param {string} jobs directory of all jobs
   * @param {import('./agent.mjs').Agent} agent
   * @param {string} id
   * @param {readonly string[]} argv
   * @param {JobOptions} options
   */
  static async start(jobs, agent, id, argv, options) {
    const directory = join(jobs, id);
    const exports = Object.entries(options.env ?? {});
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, 'stdin'), options.stdin ?? '');
    await writeFile(
      join(directory, 'command'),
      [
        `cd ${quote(options.cwd ?? process.cwd())} || exit 126`,
        // The tests' own Node, wherever it is installed.
        `PATH=${quote(dirname(process.execPath))}:$PATH`,
        ...exports.map(([name, value]) => `export ${name}=${quote(value)}`),
        `exec ${argv.map(quote).join(' ')}`,
        '',
      ].join('\n'),
    );
    agent.send(`run ${id}`);
    return new HostJob(directory, agent, id, argv);
  }

  /** Its process id inside the host; known once it has started. */
  async pid() {
    return Number(await readFile(join(this.#directory, 'pid'), 'utf8'));
  }

  /** What it has written so far. */
  async stdout() {
    return this.#read('stdout');
  }

  async stderr() {
    return this.#read('stderr');
  }

  /**
   * Waits for its end. At the deadline it is killed, and the error tells what it had written.
   *
   * @param {number} [deadlineMs] default: none
   * @returns {Promise<JobResult>}
   */
  async wait(deadlineMs = Infinity) {
    const describe = () => `the end of ${this.#title}`;
    try {
      const { status } = await this.#agent.waitForDone(this.#id, deadlineMs, describe);
      return { status, stdout: await this.stdout(), stderr: await this.stderr() };
    } catch (error) {
      this.kill();
      const written = `stdout: ${await this.stdout()}\nstderr: ${await this.stderr()}`;
      throw new Error(`${this.#title} did not end\n${written}`, { cause: error });
    }
  }

  /** Ends it with all the processes of its session. */
  kill() {
    this.#agent.send(`kill ${this.#id}`);
  }

  /** @param {string} name */
  async #read(name) {
    return readFile(join(this.#directory, name), 'utf8').catch(() => '');
  }
}
