import type { Clock } from '../clock.js';
import type { StateStore } from './state-store.js';

export interface LookAgainOptions {
  readonly store: StateStore;
  /** Folders of it in which a change is worth another look. */
  readonly folders: readonly string[];
  readonly clock: Clock;
  /** By the clock. */
  readonly endsAt: number;
  /** How long to go without a look where nothing changes: what is waited for may end without a file. */
  readonly everyMs: number;
  /** The least time between two looks, however much changes. Default 0. */
  readonly restMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export type Looked<T> =
  | { readonly kind: 'found'; readonly value: T }
  /** Not by the deadline. There was at least one look, and one after the deadline. */
  | { readonly kind: 'late' }
  | { readonly kind: 'aborted' };

/** Looks until there is something: at every change of the folders, and now and then. */
export async function lookAgain<T>(
  look: () => Promise<T | undefined>,
  { store, folders, clock, endsAt, everyMs, restMs = 0, signal }: LookAgainOptions,
): Promise<Looked<T>> {
  let wake: () => void = () => undefined;
  const poke = () => {
    wake();
  };
  const stops = folders.map((folder) => store.watch(folder, poke));
  signal?.addEventListener('abort', poke);
  const sleep = async (ms: number, woken: Promise<void>) => {
    const cancelTimer = clock.after(ms, poke);
    await woken;
    cancelTimer();
  };
  const next = () => new Promise<void>((resolve) => (wake = resolve));
  try {
    for (;;) {
      // Set before the look, so that a change during it is not slept through.
      const woken = next();
      const value = await look();
      if (value !== undefined) return { kind: 'found', value };
      if (signal?.aborted) return { kind: 'aborted' };
      const leftMs = endsAt - clock.now();
      if (leftMs <= 0) return { kind: 'late' };
      const rested = clock.now() + Math.min(restMs, leftMs);
      await sleep(Math.min(everyMs, leftMs), woken);
      while (!signal?.aborted && clock.now() < rested) await sleep(rested - clock.now(), next());
    }
  } finally {
    for (const stop of stops) stop();
    signal?.removeEventListener('abort', poke);
  }
}
