import type { Clock } from '../../src/clock.js';

/** Time that stands still until the test moves it. */
export class FakeClock implements Clock {
  #now = 0;
  #timers: { readonly at: number; readonly callback: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { at: this.#now + delayMs, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** Timers that wait now. */
  get pendingCount(): number {
    return this.#timers.length;
  }

  /** Time until the next timer; Infinity when none waits. */
  get nextDelayMs(): number {
    return Math.min(...this.#timers.map(({ at }) => at - this.#now));
  }

  /** Moves on, calling what falls due in its order, and lets the consequences settle. */
  async advance(byMs: number): Promise<void> {
    const end = this.#now + byMs;
    for (;;) {
      const [next] = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (!next) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#now = next.at;
      next.callback();
      await settled();
    }
    this.#now = end;
    await settled();
  }
}

/** Resolves after everything that only waits for promises has run. */
export function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
