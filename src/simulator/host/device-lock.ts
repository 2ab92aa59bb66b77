/**
 * The lock that the driver core takes around bind, unbind, probe, remove and reset of one device.
 * Whoever comes while it is held waits in line: a stuck unbind makes every later write hang too.
 */
export class DeviceLock {
  #tail: Promise<void> = Promise.resolve();
  #waiting = 0;

  get held(): boolean {
    return this.#waiting > 0;
  }

  /** Runs the task at once when the lock is free, else after those before it. */
  async run<T>(task: () => T | Promise<T>): Promise<T> {
    const before = this.#tail;
    let release: () => void = () => undefined;
    this.#tail = new Promise((resolve) => {
      release = resolve;
    });
    const free = this.#waiting === 0;
    this.#waiting++;
    if (!free) await before;
    try {
      return await task();
    } finally {
      this.#waiting--;
      release();
    }
  }
}
