import type { TransportHandlers } from './transport.js';

/** To whom a transport over a socket delivers, and how the socket came to its end. */
export class Delivery {
  #handlers: TransportHandlers | undefined;
  #reason: Error | undefined;
  #ended = false;

  /** Keeps why the socket is about to end; the first reason stays. */
  failed(reason: Error): void {
    this.#reason ??= reason;
  }

  /** Tells the end to who listens, or will. */
  ended(): void {
    this.#ended = true;
    this.#handlers?.onClose(this.#reason);
  }

  /** Runs `deliver` when bytes can still come; of a socket that ended before, the end is told. */
  start(handlers: TransportHandlers, deliver: () => void): void {
    this.#handlers = handlers;
    if (!this.#ended) {
      deliver();
      return;
    }
    queueMicrotask(() => {
      handlers.onClose(this.#reason);
    });
  }
}
