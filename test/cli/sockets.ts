import { existsSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { parseJson, stringifyJson, type JsonObject } from '../../src/json.js';
import { JsonFramer } from '../../src/qmp/framer.js';
import type { CliHome, CliRun } from './run-cli.js';

/** A command of the CLI that serves until it is told to stop. */
export class Serving implements AsyncDisposable {
  readonly done: Promise<CliRun>;
  /** What it has said on stderr so far. */
  stderr = '';
  readonly #stop = new AbortController();
  #changed: () => void = () => undefined;

  constructor(home: CliHome, args: readonly string[]) {
    this.done = home.run(args, {
      signal: this.#stop.signal,
      onStderr: (text) => {
        this.stderr += text;
        this.#changed();
      },
    });
    void this.done.then(() => {
      this.#changed();
    });
  }

  /** Until stderr has the text, or the command has ended. */
  async until(text: string): Promise<this> {
    let over = false;
    void this.done.then(() => (over = true));
    while (!this.stderr.includes(text)) {
      if (over) throw new Error(`it ended without ${JSON.stringify(text)}: ${this.stderr}`);
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
    return this;
  }

  stop(): Promise<CliRun> {
    this.#stop.abort(new Error('SIGTERM'));
    return this.done;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** A client with a socket of its own, that keeps every byte it gets. */
export class SocketClient implements Disposable {
  readonly messages: JsonObject[] = [];
  text = '';
  ended = false;
  readonly #socket: Socket;
  #changed: () => void = () => undefined;

  constructor(path: string) {
    if (!existsSync(path)) throw new Error(`nobody listens at ${path}`);
    const framer = new JsonFramer((text) => this.messages.push(parseJson(text) as JsonObject));
    this.#socket = connect({ path });
    this.#socket.on('error', () => undefined);
    this.#socket.on('data', (data) => {
      this.text += data.toString();
      framer.push(data);
      this.#changed();
    });
    this.#socket.on('close', () => {
      this.ended = true;
      this.#changed();
    });
  }

  write(text: string): void {
    this.#socket.write(text);
  }

  /** Sends a command and waits for the next reply. */
  async ask(message: JsonObject): Promise<JsonObject | undefined> {
    const isReply = (msg: JsonObject) => msg.return !== undefined || msg.error !== undefined;
    const before = this.messages.filter(isReply).length;
    this.write(`${stringifyJson(message)}\n`);
    await this.until(() => this.messages.filter(isReply).length > before);
    return this.messages.filter(isReply)[before];
  }

  /** Until the condition holds or the server has closed. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition() && !this.ended) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }

  end(): void {
    this.#socket.end();
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}
