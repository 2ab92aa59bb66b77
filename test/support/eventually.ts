import { vi } from 'vitest';

const DEADLINE_MS = 30_000;

/** Waits until a check holds: a loaded machine may take its time, and only a test that fails waits it out. */
export function eventually<T>(check: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(check, { timeout: DEADLINE_MS, interval: 5 });
}
