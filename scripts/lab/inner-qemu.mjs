// A QEMU inside the nested VFIO host: the one that real devices are attached to.
import { withDeadline } from './deadline.mjs';
import { machineArgs } from './qemu.mjs';
import { RawQmp } from './raw-qmp.mjs';

/**
 * A serial line of the host that brings an inner machine's monitor out to the test.
 *
 * @typedef {object} InnerLine
 * @property {import('node:net').Socket} socket its end on this side
 * @property {string} tty its end in the host
 * @property {boolean} taken until its machine has ended
 */

/**
 * The inner machine. Its paths and its pid are the host's; its monitor `qmp` reaches the test over a
 * serial line, so that the test sees the machine without running anything in the host.
 */
export class InnerQemu {
  qmpPath;
  otherQmpPath;
  qmp;
  /** Inside the host. */
  pid = 0;
  #job;
  #ended;

  /**
   * @param {string} name
   * @param {InnerLine} line
   * @param {import('./host-job.mjs').HostJob} job
   */
  constructor(name, line, job) {
    const paths = monitorPaths(name);
    this.qmpPath = paths.qmp;
    this.otherQmpPath = paths.qmp2;
    this.qmp = new RawQmp(line.socket);
    this.#job = job;
    this.#ended = job.wait().finally(() => {
      this.qmp.detach();
      line.taken = false;
    });
    this.#ended.catch(() => undefined); // the host went first; whoever waits is told
  }

  /**
   * @param {(argv: readonly string[]) => Promise<import('./host-job.mjs').HostJob>} spawn
   * @param {string} name unique in the host
   * @param {InnerLine} line
   * @param {import('./qemu.mjs').QemuOptions} options
   */
  static async start(spawn, name, line, options) {
    const { args = [], binary = 'qemu-system-x86_64', deadlineMs = 60_000 } = options;
    const monitors = monitorArgs(name, line.tty);
    const job = await spawn([binary, ...machineArgs(options), ...monitors, ...args]);
    const inner = new InnerQemu(name, line, job);
    await inner.orItsEnd(inner.qmp.negotiate({ deadlineMs }));
    inner.pid = await job.pid();
    return inner;
  }

  /** Everything it has written to its standard error. */
  async stderr() {
    return this.#job.stderr();
  }

  /**
   * Rejects when it ends before `promise` is settled, with what it wrote to its standard error.
   *
   * @template T
   * @param {Promise<T>} promise
   * @returns {Promise<T>}
   */
  async orItsEnd(promise) {
    const end = this.#ended.then(({ status, stderr }) => {
      throw new Error(`the inner QEMU ended (status ${status}): ${stderr}`);
    });
    try {
      return await Promise.race([promise, /** @type {Promise<never>} */ (end)]);
    } finally {
      end.catch(() => undefined);
    }
  }

  /** Waits until it has ended by itself. @param {number} [deadlineMs] */
  async waitForExit(deadlineMs = 60_000) {
    return withDeadline(this.#ended, deadlineMs, () => 'the end of the inner QEMU');
  }

  /** Ends it with SIGKILL and waits until it is gone. */
  async kill() {
    this.#job.kill();
    await this.waitForExit();
  }

  async [Symbol.asyncDispose]() {
    await this.kill();
  }
}

const monitorPaths = (/** @type {string} */ name) => ({
  qmp: `/run/${name}.sock`,
  qmp2: `/run/${name}-2.sock`,
});

/** @param {string} name @param {string} tty */
function monitorArgs(name, tty) {
  const paths = monitorPaths(name);
  const server = 'server=on,wait=off';
  return [
    ...['-chardev', `socket,id=qmp,path=${paths.qmp},${server}`],
    ...['-chardev', `socket,id=qmp2,path=${paths.qmp2},${server}`],
    ...['-chardev', `serial,id=lab,path=${tty}`],
    ...['qmp', 'qmp2', 'lab'].flatMap((id) => ['-mon', `chardev=${id},mode=control`]),
  ];
}
