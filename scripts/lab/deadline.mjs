// Waiting for a condition, always with a deadline and always with the reason when it passes.

/**
 * Rejects with what was awaited when `promise` has not settled by the deadline; `Infinity` is none.
 *
 * @template T
 * @param {Promise<T>} promise
 * @param {number} deadlineMs
 * @param {() => string} describe what was awaited and what was seen instead
 * @returns {Promise<T>}
 */
export async function withDeadline(promise, deadlineMs, describe) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const late = new Promise((_, reject) => {
    if (deadlineMs === Infinity) return;
    timer = setTimeout(() => {
      reject(new Error(`not within ${deadlineMs} ms: ${describe()}`));
    }, deadlineMs);
  });
  try {
    return await Promise.race([promise, /** @type {Promise<never>} */ (late)]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Something that changes and the wish to be told: `changed()` looks again at every open wait.
 * `fail(error)` ends them all, and those that come later.
 */
export class Changes {
  /** @type {Set<() => void>} */
  #waits = new Set();
  /** @type {Error | undefined} */
  #failure;

  changed() {
    for (const look of [...this.#waits]) look();
  }

  /** @param {Error} error */
  fail(error) {
    this.#failure ??= error;
    this.changed();
  }

  /**
   * The first value other than undefined that `look` gives, now or after a change.
   *
   * @template T
   * @param {() => T | undefined} look
   * @param {number} deadlineMs
   * @param {() => string} describe
   * @returns {Promise<T>}
   */
  async until(look, deadlineMs, describe) {
    /** @type {() => void} */
    let check = () => undefined;
    /** @type {Promise<T>} */
    const found = new Promise((resolve, reject) => {
      check = () => {
        try {
          const value = look();
          if (value !== undefined) resolve(value);
          else if (this.#failure) reject(this.#failure);
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      };
    });
    this.#waits.add(check);
    check();
    try {
      return await withDeadline(found, deadlineMs, describe);
    } finally {
      this.#waits.delete(check);
    }
  }
}
