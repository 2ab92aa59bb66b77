// What a machine prints on its console.
import { readFileSync, watch, writeFileSync } from 'node:fs';
import { Changes } from './deadline.mjs';

/**
 * @typedef {object} Console
 * @property {string} text everything so far
 * @property {(pattern: RegExp, deadlineMs: number) => Promise<RegExpExecArray>} waitFor
 */

/** A console that arrives over a socket. */
export class SocketConsole {
  text = '';
  #changes = new Changes();

  /** @param {import('node:net').Socket} socket */
  constructor(socket) {
    socket.setEncoding('utf8').on('data', (text) => {
      this.text += String(text);
      this.#changes.changed();
    });
    socket.on('error', (error) => this.#changes.fail(error));
    socket.on('close', () => this.#changes.fail(new Error('the machine has ended')));
  }

  /** @param {RegExp} pattern @param {number} deadlineMs */
  async waitFor(pattern, deadlineMs) {
    return waitForText(this, this.#changes, pattern, deadlineMs);
  }
}

/** A console that is written to a file. */
export class FileConsole {
  #path;

  /** @param {string} path made here, empty */
  constructor(path) {
    this.#path = path;
    writeFileSync(path, '');
  }

  get text() {
    return readFileSync(this.#path, 'utf8');
  }

  /** @param {RegExp} pattern @param {number} deadlineMs */
  async waitFor(pattern, deadlineMs) {
    const changes = new Changes();
    const watcher = watch(this.#path, () => changes.changed());
    try {
      return await waitForText(this, changes, pattern, deadlineMs);
    } finally {
      watcher.close();
    }
  }
}

/**
 * @param {{ readonly text: string }} console
 * @param {Changes} changes
 * @param {RegExp} pattern
 * @param {number} deadlineMs
 */
async function waitForText(console, changes, pattern, deadlineMs) {
  return changes.until(
    () => pattern.exec(console.text) ?? undefined,
    deadlineMs,
    () => `${String(pattern)} on the console, which ends: ${console.text.slice(-2000)}`,
  );
}
