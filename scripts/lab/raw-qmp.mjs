// A QMP client of a few lines, independent of the one under test, so that a test has a second opinion.
import { connect } from 'node:net';
import { Changes } from './deadline.mjs';

/**
 * @typedef {{ readonly event: string, readonly data: Record<string, any> }} RawEvent
 * A QMP event; `data` is `{}` where QEMU sends none.
 */

/** QEMU's answer `{"error": ...}`. */
export class RawQmpError extends Error {
  /**
   * @param {string} command
   * @param {string} errorClass
   * @param {string} description
   */
  constructor(command, errorClass, description) {
    super(`${command}: ${description}`);
    this.name = 'RawQmpError';
    /** `GenericError`, `DeviceNotFound`, `CommandNotFound` ... */
    this.errorClass = errorClass;
    this.description = description;
  }
}

export class RawQmp {
  /** Every event since the session began, in order.
   * @type {RawEvent[]} */
  events = [];
  /** What QEMU said of itself in its greeting.
   * @type {any} */
  greeting;

  #socket;
  #changes = new Changes();
  #text = '';
  #lastId = 0;
  /** @type {Map<number, { return?: any, error?: { class: string, desc: string } }>} */
  #replies = new Map();

  /** @param {import('node:net').Socket} socket */
  constructor(socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', this.#onData);
    socket.on('error', this.#onError);
    socket.on('close', this.#onClose);
  }

  /**
   * Dials a monitor and negotiates.
   *
   * @param {string} path of a unix socket
   * @param {{ deadlineMs?: number }} [options]
   */
  static async dial(path, options = {}) {
    const session = new RawQmp(connect(path));
    await session.negotiate(options);
    return session;
  }

  /** @param {{ deadlineMs?: number }} [options] */
  async negotiate({ deadlineMs = 20_000 } = {}) {
    const greeted = () => this.greeting;
    this.greeting = await this.#changes.until(greeted, deadlineMs, () => 'a QMP greeting');
    await this.execute('qmp_capabilities', {}, { deadlineMs });
  }

  /**
   * Runs any command QEMU knows.
   *
   * @param {string} command
   * @param {Record<string, unknown>} [args]
   * @param {{ deadlineMs?: number }} [options]
   * @returns {Promise<any>} what stands under `return`
   * @throws {RawQmpError} QEMU answered with an error.
   */
  async execute(command, args = {}, { deadlineMs = 30_000 } = {}) {
    const id = ++this.#lastId;
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    const reply = await this.#changes.until(
      () => this.#replies.get(id),
      deadlineMs,
      () => `an answer to ${command}`,
    );
    this.#replies.delete(id);
    if (reply.error) throw new RawQmpError(command, reply.error.class, reply.error.desc);
    return reply.return;
  }

  /**
   * Waits for an event that has come since `from`, an index into {@link events}, or is still to come.
   *
   * @param {(event: RawEvent) => boolean} matches
   * @param {{ deadlineMs?: number, from?: number }} [options]
   */
  async waitForEvent(matches, { deadlineMs = 30_000, from = 0 } = {}) {
    return this.#changes.until(
      () => this.events.slice(from).find(matches),
      deadlineMs,
      () => `the event; seen were ${JSON.stringify(this.events.slice(from))}`,
    );
  }

  /** Waits until QEMU says that the device with this id is gone.
   * @param {string} id
   * @param {{ deadlineMs?: number, from?: number }} [options] */
  async waitForDeleted(id, options) {
    return this.waitForEvent(
      ({ event, data }) => event === 'DEVICE_DELETED' && data['device'] === id,
      options,
    );
  }

  close() {
    this.#socket.destroy();
  }

  /** Ends the session and leaves the line open, for the next machine on it. */
  detach() {
    this.#socket.off('data', this.#onData).off('error', this.#onError).off('close', this.#onClose);
    this.#onClose();
  }

  #onError = (/** @type {Error} */ error) => this.#changes.fail(error);
  #onClose = () => this.#changes.fail(new Error('the QMP session ended'));
  #onData = (/** @type {unknown} */ text) => {
    this.#text += String(text);
    try {
      this.#readLines();
    } catch (error) {
      this.#changes.fail(new Error('QEMU broke the QMP framing', { cause: error }));
    }
  };

  #readLines() {
    const lines = this.#text.split('\n');
    this.#text = lines.pop() ?? '';
    for (const line of lines) {
      if (line.trim() === '') continue;
      const message = JSON.parse(line);
      if (message.QMP) this.greeting = message.QMP;
      else if (message.event) this.events.push({ event: message.event, data: message.data ?? {} });
      else this.#replies.set(message.id, message);
    }
    this.#changes.changed();
  }
}
