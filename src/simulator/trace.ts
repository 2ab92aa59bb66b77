import type { Clock } from '../clock.js';

/** One thing that happened in the simulated world. */
export interface TraceEntry {
  readonly atMs: number;
  /** Who: `fault`, `kernel`, `qemu:vm0`, `guest:vm0`, `qmp:vm0`, `process:4001`. */
  readonly source: string;
  readonly text: string;
}

/** What a schedule did, in order: printed beside the seed when a run fails. */
export class Trace {
  readonly #clock: Clock;
  readonly #entries: (Omit<TraceEntry, 'text'> & { readonly text: string | (() => string) })[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A text that takes work to make may come as a function: most traces are never read. */
  add(source: string, text: string | (() => string)): void {
    this.#entries.push({ atMs: this.#clock.now(), source, text });
  }

  get entries(): readonly TraceEntry[] {
    return this.#entries.map(({ text, ...entry }) => ({
      ...entry,
      text: typeof text === 'string' ? text : text(),
    }));
  }

  /** One line per entry. */
  toString(): string {
    return this.entries
      .map(({ atMs, source, text }) => `${atMs.toFixed(1).padStart(10)} ${source}: ${text}`)
      .join('\n');
  }
}
