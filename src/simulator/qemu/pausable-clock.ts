import type { Clock } from '../../clock.js';

interface Waiting {
  readonly atMs: number;
  readonly callback: () => void;
  cancel: (() => void) | undefined;
}

/**
 * The VM's virtual clock (QEMU_CLOCK_VIRTUAL): it stands still while the VM is stopped, and so do the
 * guest's timers and the 5 s latch of a native unplug.
 */
export class PausableClock implements Clock {
  readonly #base: Clock;
  readonly #waiting = new Set<Waiting>();
  #elapsedMs: number;
  #resumedAtMs: number | undefined;

  constructor(base: Clock, running: boolean, startMs = 0) {
    this.#base = base;
    this.#elapsedMs = startMs;
    this.#resumedAtMs = running ? base.now() : undefined;
  }

  now(): number {
    return (
      this.#elapsedMs + (this.#resumedAtMs === undefined ? 0 : this.#base.now() - this.#resumedAtMs)
    );
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer: Waiting = { atMs: this.now() + delayMs, callback, cancel: undefined };
    this.#waiting.add(timer);
    if (this.#resumedAtMs !== undefined) this.#start(timer);
    return () => {
      timer.cancel?.();
      this.#waiting.delete(timer);
    };
  }

  pause(): void {
    if (this.#resumedAtMs === undefined) return;
    this.#elapsedMs = this.now();
    this.#resumedAtMs = undefined;
    for (const timer of this.#waiting) timer.cancel?.();
  }

  resume(): void {
    if (this.#resumedAtMs !== undefined) return;
    this.#resumedAtMs = this.#base.now();
    const inOrder = [...this.#waiting].sort((a, b) => a.atMs - b.atMs);
    for (const timer of inOrder) this.#start(timer);
  }

  /** Forgets every timer: the guest that set them is gone. */
  clear(): void {
    for (const timer of this.#waiting) timer.cancel?.();
    this.#waiting.clear();
  }

  #start(timer: Waiting): void {
    timer.cancel = this.#base.after(timer.atMs - this.now(), () => {
      this.#waiting.delete(timer);
      timer.callback();
    });
  }
}
