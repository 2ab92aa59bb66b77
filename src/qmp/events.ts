import { InputError } from '../errors.js';
import type { QmpEvent, QmpSession } from './session.js';

/** An event, or the place where events were lost because nobody took them in time. */
export type SubscriptionItem =
  | { readonly kind: 'event'; readonly event: QmpEvent }
  | { readonly kind: 'overflow'; readonly lostCount: number };

export interface SubscriptionOptions {
  /** Events to keep; all where absent. Called in the session's read path: keep it short. */
  readonly filter?: ((event: QmpEvent) => boolean) | undefined;
  /** Events held for a slow reader. Default 1,024. */
  readonly capacity?: number | undefined;
}

const DEFAULT_CAPACITY = 1_024;

/**
 * Events as an async iterable with a queue of its own. Open it before the command whose event is
 * awaited, and none is missed.
 *
 * The queue is bounded. When it is full, newer events are counted instead of kept, and the reader
 * finds an `overflow` item at the place of the gap: after it, only a look at the VM tells the
 * state. The iteration ends when the session has ended and the queue is empty, or on `close`.
 *
 * One reader at a time: two loops over one subscription share its items.
 */
export class EventSubscription implements AsyncIterableIterator<SubscriptionItem> {
  readonly #capacity: number;
  readonly #items: QmpEvent[] = [];
  readonly #readers: ((result: IteratorResult<SubscriptionItem, undefined>) => void)[] = [];
  readonly #unsubscribe: () => void;
  #lostCount = 0;
  #ended = false;

  constructor(session: QmpSession, options: SubscriptionOptions = {}) {
    const { filter, capacity = DEFAULT_CAPACITY } = options;
    if (!Number.isSafeInteger(capacity) || capacity < 1) {
      throw new InputError('BAD_ARGUMENT', `capacity must be a positive integer, not ${capacity}`);
    }
    this.#capacity = capacity;
    this.#unsubscribe = session.onEvent((event) => {
      if (!filter || filter(event)) this.#take(event);
    });
    void session.closed.then(() => {
      this.#end();
    });
  }

  /** Events waiting for the reader. */
  get pendingCount(): number {
    return this.#items.length;
  }

  next(): Promise<IteratorResult<SubscriptionItem, undefined>> {
    const item = this.#shift();
    if (item) return Promise.resolve({ done: false, value: item });
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => {
      this.#readers.push(resolve);
    });
  }

  return(): Promise<IteratorResult<SubscriptionItem, undefined>> {
    this.close();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Ends the iteration and drops what is still queued; idempotent. */
  close(): void {
    this.#items.length = 0;
    this.#lostCount = 0;
    this.#end();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #take(event: QmpEvent): void {
    const reader = this.#readers.shift();
    if (reader) {
      reader({ done: false, value: { kind: 'event', event } });
    } else if (this.#items.length < this.#capacity && this.#lostCount === 0) {
      this.#items.push(event);
    } else {
      // Until the reader has seen the gap everything counts as lost: order is kept.
      this.#lostCount += 1;
    }
  }

  #shift(): SubscriptionItem | undefined {
    const event = this.#items.shift();
    if (event) return { kind: 'event', event };
    if (this.#lostCount === 0) return undefined;
    const lostCount = this.#lostCount;
    this.#lostCount = 0;
    return { kind: 'overflow', lostCount };
  }

  #end(): void {
    this.#ended = true;
    this.#unsubscribe();
    for (const reader of this.#readers.splice(0)) reader({ done: true, value: undefined });
  }
}
