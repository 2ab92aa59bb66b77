import {
  isJsonObject,
  parseJson,
  stringifyJson,
  type JsonObject,
  type JsonValue,
} from '../../src/json.js';
import { JsonFramer } from '../../src/qmp/framer.js';
import type { QmpTransport } from '../../src/qmp/transport.js';

/** What a command of `runCommands` is: name and arguments, the id is its own business. */
export interface Command {
  readonly execute: string;
  readonly arguments?: JsonObject;
}

/** A client without any manners: sends what it is given, keeps what it gets. */
export class LineClient {
  readonly received: JsonObject[] = [];
  readonly #transport: QmpTransport;
  readonly #waiters = new Set<() => void>();
  closed: { readonly reason: Error | undefined } | undefined;

  constructor(transport: QmpTransport) {
    this.#transport = transport;
    const framer = new JsonFramer((text) => {
      const message = parseJson(text);
      if (isJsonObject(message)) this.received.push(message);
    });
    transport.start({
      onData: (data) => {
        framer.push(data);
        this.#wake();
      },
      onClose: (reason) => {
        this.closed = { reason };
        this.#wake();
      },
    });
  }

  get replies(): readonly JsonObject[] {
    return this.received.filter((msg) => msg.return !== undefined || msg.error !== undefined);
  }

  send(message: JsonValue): Promise<void> {
    return this.#transport.send(Buffer.from(`${stringifyJson(message)}\r\n`));
  }

  /** Resolves once `condition` holds, or once the transport has ended. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition() && this.closed === undefined) {
      await new Promise<void>((resolve) => {
        const waiter = () => {
          this.#waiters.delete(waiter);
          resolve();
        };
        this.#waiters.add(waiter);
      });
    }
  }

  /** Sends all commands in order, at most `depth` of them unanswered at any time. */
  async run(commands: readonly Command[], depth: number): Promise<void> {
    for (const [index, command] of commands.entries()) {
      await this.until(() => index - this.replies.length < depth);
      if (this.closed) return;
      try {
        await this.send({ ...command, id: `c${index}` });
      } catch {
        // A transport refuses bytes only once it has ended, and then says so.
        await this.until(() => false);
      }
    }
    await this.until(() => this.replies.length >= commands.length);
  }

  #wake(): void {
    for (const waiter of [...this.#waiters]) waiter();
  }
}
