import type { Clock } from '../../clock.js';

/**
 * QEMU's one main loop: commands of all monitors, finalised objects and guest accesses that exit to
 * QEMU run one after the other. While a slow `device_add` runs, everything else waits.
 */
export class MainLoop {
  readonly #clock: Clock;
  readonly #waiting: { readonly durationMs: number; readonly task: () => number }[] = [];
  #busy = false;
  #stopped = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Runs the task as soon as the loop is free. */
  post(task: () => void): void {
    this.run(0, () => {
      task();
      return 0;
    });
  }

  /**
   * Occupies the loop for `durationMs`, then runs the task, then occupies it for as long as the task
   * returns.
   */
  run(durationMs: number, task: () => number): void {
    this.#waiting.push({ durationMs, task });
    this.#pump();
  }

  /** The process is gone: nothing runs any more. */
  stop(): void {
    this.#stopped = true;
    this.#waiting.length = 0;
  }

  #pump(): void {
    while (!this.#busy && !this.#stopped) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#busy = true;
      if (next.durationMs <= 0) {
        this.#finish(next.task);
      } else {
        this.#clock.after(next.durationMs, () => {
          this.#finish(next.task);
          this.#pump();
        });
      }
    }
  }

  #finish(task: () => number): void {
    const afterMs = this.#stopped ? 0 : task();
    if (afterMs <= 0) {
      this.#busy = false;
      return;
    }
    this.#clock.after(afterMs, () => {
      this.#busy = false;
      this.#pump();
    });
  }
}
