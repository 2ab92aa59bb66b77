import {
  isJsonObject,
  parseJson,
  stringifyJson,
  type JsonObject,
  type JsonValue,
} from '../../src/json.js';
import type { QmpTransport } from '../../src/qmp/transport.js';

/** What a monitor answered: a value, or an error's class and text. */
export type Reply =
  | { readonly return: JsonValue }
  | { readonly error: { readonly class: string; readonly desc: string } };

export interface SeenEvent {
  readonly event: string;
  readonly data: JsonObject;
}

/**
 * A QMP client with no opinion: sends what it is told, keeps all that comes. It trusts its peer to
 * write one object a line, which both QEMU and the simulator do.
 */
export class RawClient {
  readonly #transport: QmpTransport;
  readonly #messages: JsonObject[] = [];
  readonly #waiters: (() => void)[] = [];
  readonly events: SeenEvent[] = [];
  /** Everything received but replies that somebody waited for and events. */
  readonly others: JsonObject[] = [];
  #text = '';
  #nextId = 1;
  closed = false;
  closeReason: Error | undefined;

  constructor(transport: QmpTransport) {
    this.#transport = transport;
    const decoder = new TextDecoder();
    transport.start({
      onData: (data) => {
        this.#text += decoder.decode(data, { stream: true });
        this.#split();
      },
      onClose: (reason) => {
        this.closed = true;
        this.closeReason = reason;
        this.#wake();
      },
    });
  }

  #split(): void {
    for (;;) {
      const end = this.#text.indexOf('\r\n');
      if (end === -1) return;
      const message = parseJson(this.#text.slice(0, end));
      this.#text = this.#text.slice(end + 2);
      if (!isJsonObject(message)) throw new Error('a message is no object');
      if (typeof message.event === 'string') {
        const { event, data } = message;
        this.events.push({ event, data: isJsonObject(data) ? data : {} });
      } else {
        this.#messages.push(message);
        this.others.push(message);
      }
      this.#wake();
    }
  }

  #wake(): void {
    for (const wake of this.#waiters.splice(0)) wake();
  }

  /** Bytes received that do not make a line yet. */
  get remainder(): string {
    return this.#text;
  }

  /** Waits for whatever comes, until the condition holds. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.closed) throw new Error('the monitor closed');
      await new Promise<void>((resolve) => {
        this.#waiters.push(resolve);
      });
    }
  }

  async greeting(): Promise<JsonObject> {
    await this.until(() => this.#messages.some(({ QMP }) => QMP !== undefined));
    const index = this.#messages.findIndex(({ QMP }) => QMP !== undefined);
    return this.#messages.splice(index, 1)[0] ?? {};
  }

  async negotiate(enable: readonly string[] = []): Promise<void> {
    await this.greeting();
    const reply = await this.command('qmp_capabilities', { enable });
    if (!('return' in reply)) throw new Error(reply.error.desc);
  }

  /** Sends one command and returns its answer. */
  async command(execute: string, args?: JsonObject): Promise<Reply> {
    return this.#answer(await this.sendCommand(execute, args));
  }

  /** Sends one command and returns its id. */
  async sendCommand(execute: string, args?: JsonObject): Promise<number> {
    const id = this.#nextId++;
    await this.send(stringifyJson({ execute, ...(args ? { arguments: args } : {}), id }));
    return id;
  }

  /** The answer to a command sent before. */
  async answer(id: number): Promise<Reply> {
    return this.#answer(id);
  }

  async #answer(id: number): Promise<Reply> {
    const find = () => this.#messages.findIndex((message) => message.id === id);
    await this.until(() => find() !== -1);
    const [message = {}] = this.#messages.splice(find(), 1);
    return asReply(message);
  }

  /** The next message that is no event, whatever its id. */
  async next(): Promise<JsonObject> {
    await this.until(() => this.#messages.length > 0);
    return this.#messages.shift() ?? {};
  }

  async send(text: string | Uint8Array): Promise<void> {
    await this.#transport.send(typeof text === 'string' ? new TextEncoder().encode(text) : text);
  }

  close(): void {
    this.#transport.close();
  }

  /** qdev ids of the DEVICE_DELETED seen so far. */
  get deleted(): readonly JsonValue[] {
    return this.events
      .filter(({ event }) => event === 'DEVICE_DELETED')
      .map(({ data }) => data.device ?? data.path ?? null);
  }
}

function asReply(message: JsonObject): Reply {
  const { error } = message;
  if (isJsonObject(error)) {
    const { class: errorClass = null, desc = null } = error;
    if (typeof errorClass === 'string' && typeof desc === 'string') {
      return { error: { class: errorClass, desc } };
    }
  }
  return { return: message.return ?? null };
}
