import type { Clock } from '../clock.js';
import { stateFailure, type StateStore } from '../engine/state-store.js';
import type { HostEffects } from '../host/effects.js';
import type { QmpTransport } from '../qmp/transport.js';
import type { Faults } from './faults.js';
import type { MemoryStore } from './memory-store.js';
import type { Random } from './random.js';
import type { Trace } from './trace.js';

/** How a task of a process ended, seen from outside. */
export type TaskOutcome<T> =
  | { readonly kind: 'done'; readonly value: T }
  | { readonly kind: 'failed'; readonly error: unknown }
  | { readonly kind: 'killed' };

export interface ControllerOptions {
  readonly pid: number;
  readonly clock: Clock;
  readonly effects: HostEffects;
  readonly store: MemoryStore;
  readonly faults: Faults;
  readonly random: Random;
  readonly trace: Trace;
  readonly connect: (address: string) => QmpTransport;
  /** Tells the kernel that the process is gone. */
  readonly onKilled: () => void;
}

/** A killed process hears nothing more: whatever it waits for never comes. */
const never = <T>() => new Promise<T>(() => undefined);

/**
 * A process that runs the controller under test. Everything it does to the world goes through its
 * seams, each use of them is an operation, and it can be killed before or after any of them. What the
 * kernel or QEMU had begun for it is still completed.
 */
export class ControllerProcess {
  readonly pid: number;
  /** The host, as this process reaches it. */
  readonly effects: HostEffects;
  /** Timers that die with the process. */
  readonly clock: Clock;
  /** The world's state store. */
  readonly store: StateStore;
  readonly #options: ControllerOptions;
  readonly #transports = new Set<QmpTransport>();
  readonly #exit: Promise<void>;
  #onExit: () => void = () => undefined;
  #alive = true;
  #operationCount = 0;
  #killPlan: { readonly at: number; readonly moment: 'before' | 'after' } | undefined;

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.pid = options.pid;
    this.#exit = new Promise((resolve) => {
      this.#onExit = resolve;
    });
    this.effects = this.guard('effects', options.effects);
    this.store = this.#storeOfProcess();
    this.clock = {
      now: () => options.clock.now(),
      after: (delayMs, callback) =>
        options.clock.after(delayMs, () => {
          if (this.#alive) callback();
        }),
    };
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** Operations so far: the number of places where it could have been killed. */
  get operationCount(): number {
    return this.#operationCount;
  }

  /** Resolves when the process has been killed. */
  get exited(): Promise<void> {
    return this.#exit;
  }

  /** Kills the process right before or right after its `operation`th operation, counted from 1. */
  killAt(operation: number, moment: 'before' | 'after' = 'before'): void {
    this.#killPlan = { at: operation, moment };
  }

  /** SIGKILL. */
  kill(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#options.trace.add(
      `process:${this.pid}`,
      `killed after ${this.#operationCount} operations`,
    );
    for (const transport of this.#transports) transport.close();
    this.#options.onKilled();
    this.#onExit();
  }

  /** Runs a task of this process and says how it ended; never rejects. */
  async run<T>(task: () => Promise<T>): Promise<TaskOutcome<T>> {
    const result = task().then(
      (value): TaskOutcome<T> => ({ kind: 'done', value }),
      (error: unknown): TaskOutcome<T> => ({ kind: 'failed', error }),
    );
    return Promise.race([result, this.#exit.then((): TaskOutcome<T> => ({ kind: 'killed' }))]);
  }

  /**
   * Connects to a monitor.
   *
   * @throws {ConnectError} `CONNECT_FAILED`
   */
  async connect(address: string): Promise<QmpTransport> {
    const inner = await this.#operate('connect', async () => {
      const transport = this.#options.connect(address);
      // At once: whoever is killed right after connecting is disconnected all the same.
      this.#transports.add(transport);
      return transport;
    });
    return {
      address: inner.address,
      send: (data) => this.#operate('send', () => inner.send(data)),
      files: inner.files && this.guard('files', inner.files),
      start: (handlers) => {
        inner.start({
          onData: (data) => {
            if (this.#alive) handlers.onData(data);
          },
          onClose: (reason) => {
            this.#transports.delete(inner);
            if (this.#alive) handlers.onClose(reason);
          },
        });
      },
      close: () => {
        if (this.#alive) inner.close();
      },
    };
  }

  /**
   * An object of the outside world as this process reaches it: every asynchronous method is an
   * operation, callbacks die with the process.
   */
  guard<T extends object>(name: string, target: T): T {
    return new Proxy(target, {
      get: (object, key) => {
        const member: unknown = Reflect.get(object, key);
        if (typeof member !== 'function') return member;
        return (...args: unknown[]): unknown => {
          const call = () =>
            Reflect.apply(
              member,
              object,
              args.map((argument) => this.#callback(argument)),
            ) as unknown;
          // Only what returns a promise can be waited for; the rest is not an operation.
          if (SYNCHRONOUS.has(key)) return this.#alive ? call() : () => undefined;
          return this.#operate(`${name}.${String(key)}`, async () => call());
        };
      },
    });
  }

  #callback(argument: unknown): unknown {
    if (typeof argument !== 'function') return argument;
    return (...args: unknown[]): unknown =>
      this.#alive ? Reflect.apply(argument, undefined, args) : undefined;
  }

  async #operate<T>(operation: string, task: () => Promise<T>): Promise<T> {
    if (!this.#alive) return never();
    const count = ++this.#operationCount;
    const fault = this.#options.faults.draw('step', { process: String(this.pid), operation });
    const planned = this.#killPlan?.at === count ? this.#killPlan.moment : undefined;
    if (planned === 'before' || fault?.name === 'killed-before') {
      this.kill();
      return never();
    }
    const dieAfter = planned === 'after' || fault?.name === 'killed-after';
    try {
      const value = await task();
      if (dieAfter) this.kill();
      return this.#stillHere() ? value : never();
    } catch (error) {
      if (dieAfter) this.kill();
      if (this.#stillHere()) throw error;
      return never();
    }
  }

  /** Apart, because the type checker does not expect `#alive` to change during an await. */
  #stillHere(): boolean {
    return this.#alive;
  }

  /** The store with the faults of a real one: a full disk, and a last line cut short by a kill. */
  #storeOfProcess(): StateStore {
    const { store } = this.#options;
    const change = async <T>(
      operation: string,
      path: string,
      task: (torn: boolean) => Promise<T>,
    ): Promise<T> => {
      const site = { process: String(this.pid), operation, path };
      const fault = this.#options.faults.draw('store', site);
      if (fault?.name === 'store-fails') {
        throw stateFailure(`${store.location}${path}`, 'ENOSPC', undefined);
      }
      return task(fault?.name === 'torn-append');
    };
    const faulty: StateStore = {
      location: store.location,
      list: (folder) => store.list(folder),
      read: (name) => store.read(name),
      watch: (folder, onChange) => store.watch(folder, onChange),
      create: (name, text) => change('create', name, () => store.create(name, text)),
      rename: (from, to) => change('rename', to, () => store.rename(from, to)),
      remove: (name) => change('remove', name, () => store.remove(name)),
      sweep: () => store.sweep(),
      removeIfEmpty: (folder) => store.removeIfEmpty(folder),
      append: (name, text) =>
        change('append', name, async (torn) => {
          if (!torn) return store.append(name, text);
          const kept = this.#options.random.integer(0, Math.max(0, text.length - 1));
          await store.append(name, text.slice(0, kept));
          this.kill();
        }),
    };
    return this.guard('store', faulty);
  }
}

/** Methods of the seams that return at once. */
const SYNCHRONOUS: ReadonlySet<string | symbol> = new Set(['watch']);
