import type { Logger } from '../logger.js';
import type { QmpEvent } from './session.js';

/** Listeners of one session. */
export class EventHub {
  readonly #logger: Logger;
  /** Boxed, so that the same function may listen twice and stop once. */
  readonly #listeners = new Set<{ readonly call: (event: QmpEvent) => void }>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Adds a listener for every later event; the returned function removes it. */
  add(listener: (event: QmpEvent) => void): () => void {
    const entry = { call: listener };
    this.#listeners.add(entry);
    return () => {
      this.#listeners.delete(entry);
    };
  }

  /** Calls the listeners in the order they were added. What one throws is logged. */
  emit(event: QmpEvent): void {
    for (const entry of [...this.#listeners]) {
      // An earlier listener may have removed a later one.
      if (!this.#listeners.has(entry)) continue;
      try {
        entry.call(event);
      } catch (error) {
        this.#logger.error({ event: event.event, error }, 'an event listener threw');
      }
    }
  }
}
