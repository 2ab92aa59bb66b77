import type { Clock } from '../clock.js';

interface Timer {
  readonly atMs: number;
  readonly serial: number;
  readonly callback: () => void;
}

/**
 * Turns of the event loop after which nothing that needs no outside help is left to do. Promise
 * callbacks run to the end within one turn; a second one covers `setImmediate` inside them.
 */
const SETTLE_TURNS = 2;
/** How many timers fire between two turns of the event loop, which lets signals and other tasks in. */
const TIMERS_PER_TURN = 256;

/** Rounds in which several who wait find nothing to do, after which nobody will. */
const IDLE_ROUNDS = 8;

const nextTurn = () =>
  new Promise<void>((resolve) => {
    setImmediate(resolve);
  });

/** Node empties the queue of promise callbacks before the next tick, however many they add. */
const callbacksDone = () =>
  new Promise<void>((resolve) => {
    process.nextTick(resolve);
  });

/**
 * A clock that only moves when told to, or when all else is idle. Timers fire in order of time,
 * and of creation where the time is the same, so that a run depends on nothing but its inputs.
 */
export class VirtualClock implements Clock {
  #nowMs = 0;
  #serial = 0;
  #timers: Timer[] = [];
  /** Work outside the clock (real files, child processes) that must end before time moves. */
  readonly #outside = new Set<Promise<unknown>>();
  #onTimer: (() => void) | undefined;
  #waiterCount = 0;
  /** The time of the clock that this one follows; undefined while it moves by itself. */
  #followed: (() => number) | undefined;
  #firedCount = 0;

  now(): number {
    return Math.max(this.#nowMs, this.#followed?.() ?? 0);
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer: Timer = {
      atMs: this.now() + Math.max(0, delayMs),
      serial: this.#serial++,
      callback,
    };
    this.#timers.splice(this.#placeOf(timer), 0, timer);
    this.#onTimer?.();
    return () => {
      const index = this.#placeOf(timer);
      if (this.#timers[index] === timer) this.#timers.splice(index, 1);
    };
  }

  /** Where it is, or belongs, in the order in which they fire; bytes on their way are thousands of timers. */
  #placeOf({ atMs, serial }: Timer): number {
    let low = 0;
    let high = this.#timers.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = this.#timers[middle];
      const isBefore =
        other !== undefined &&
        (other.atMs < atMs || (other.atMs === atMs && other.serial < serial));
      if (isBefore) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Timers that have not fired yet. */
  get pendingCount(): number {
    return this.#timers.length;
  }

  /** When the next timer is due, or undefined when there is none. */
  get nextAtMs(): number | undefined {
    return this.#timers[0]?.atMs;
  }

  /** Resolves after `delayMs` of virtual time. */
  delay(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(delayMs, resolve);
    });
  }

  /** Holds the time still until real input or output has ended; returns the same promise. */
  whileOutside<T>(work: Promise<T>): Promise<T> {
    this.#outside.add(work);
    const done = () => this.#outside.delete(work);
    work.then(done, done);
    return work;
  }

  /** Lets everything run that needs no time. */
  async settle(): Promise<void> {
    do {
      if (this.#outside.size > 0) await Promise.allSettled([...this.#outside]);
      for (let turn = 0; turn < SETTLE_TURNS; turn++) await nextTurn();
    } while (this.#outside.size > 0);
  }

  /** After a timer: a turn of the event loop costs more than most timers do, so there is not one for each. */
  async #settleSoon(): Promise<void> {
    this.#firedCount += 1;
    if (this.#outside.size > 0 || this.#firedCount % TIMERS_PER_TURN === 0) return this.settle();
    await callbacksDone();
    if (this.#outside.size > 0) await this.settle();
  }

  /** Moves time forward by `deltaMs`, firing on the way whatever comes due. */
  async advance(deltaMs: number): Promise<void> {
    const targetMs = this.#nowMs + deltaMs;
    await this.settle();
    while (this.#fireNext(targetMs)) await this.#settleSoon();
    this.#nowMs = targetMs;
  }

  /**
   * Jumps from timer to timer until none is left or `limitMs` of virtual time have passed.
   * Returns false when the limit came first.
   */
  async runUntilIdle(limitMs = 3_600_000): Promise<boolean> {
    const targetMs = this.#nowMs + limitMs;
    await this.settle();
    while (this.#fireNext(targetMs)) await this.#settleSoon();
    return this.#timers.length === 0;
  }

  /**
   * Jumps from timer to timer until the promise settles, and returns its outcome. Several may wait
   * at once.
   *
   * @throws {Error} when nothing is left that could settle it, or `limitMs` of virtual time passed.
   */
  async runUntil<T>(promise: Promise<T>, limitMs = 3_600_000): Promise<T> {
    const targetMs = this.#nowMs + limitMs;
    let settled = false;
    const mark = () => {
      settled = true;
    };
    promise.then(mark, mark);
    this.#waiterCount++;
    try {
      await this.settle();
      // The callback above changes `settled` behind the type checker's back.
      for (let idleRounds = 0; !(settled as boolean);) {
        if (this.#fireNext(targetMs)) {
          idleRounds = 0;
          await this.#settleSoon();
          continue;
        }
        idleRounds += 1;
        // Whoever runs beside us may be about to do something.
        if (idleRounds > (this.#waiterCount === 1 ? 1 : IDLE_ROUNDS)) throw this.#stalled(limitMs);
        await this.settle();
      }
      return await promise;
    } finally {
      this.#waiterCount--;
    }
  }

  #stalled(limitMs: number): Error {
    return new Error(
      this.#timers.length === 0
        ? `Nothing is left at ${this.#nowMs} ms that could end the wait`
        : `Still waiting after ${limitMs} ms of virtual time`,
    );
  }

  /** Jumps on its own whenever all else is idle, until the returned function is called. */
  automatic(): () => void {
    let running = true;
    const loop = async () => {
      await this.settle();
      while (running) {
        if (!this.#fireNext(Infinity)) {
          await new Promise<void>((resolve) => {
            this.#onTimer = resolve;
          });
        }
        await this.settle();
      }
    };
    void loop();
    return () => {
      running = false;
      this.#onTimer?.();
    };
  }

  /** Keeps step with another clock, until the returned function is called. */
  follow(clock: Clock): () => void {
    const offsetMs = clock.now() - this.#nowMs;
    this.#followed = () => clock.now() - offsetMs;
    let cancel: () => void = () => undefined;
    let firing = false;
    const wait = () => {
      cancel();
      const { nextAtMs } = this;
      if (nextAtMs !== undefined && !firing) cancel = clock.after(nextAtMs - this.now(), fire);
    };
    const fire = () => {
      firing = true;
      // A timer that a callback sets for now is due in the same turn.
      while (this.#fireNext(this.now()));
      firing = false;
      wait();
    };
    this.#onTimer = wait;
    wait();
    return () => {
      cancel();
      this.#nowMs = this.now();
      this.#followed = undefined;
      this.#onTimer = undefined;
    };
  }

  #fireNext(limitMs: number): boolean {
    const timer = this.#timers[0];
    if (timer === undefined || timer.atMs > limitMs) return false;
    this.#timers.shift();
    this.#nowMs = timer.atMs;
    timer.callback();
    return true;
  }
}
