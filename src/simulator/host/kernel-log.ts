import type { Clock } from '../../clock.js';

const MOST_RECORDS = 1_000;

/** What the kernel says, as /dev/kmsg has it. */
export class KernelLog {
  readonly #records: string[] = [];
  readonly #clock: Clock;
  #count = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @param driver that speaks; `pci` for the core. */
  say(driver: string, bdf: string, text: string): void {
    const us = Math.round(this.#clock.now() * 1_000);
    const facts = ` SUBSYSTEM=pci\n DEVICE=+pci:${bdf}\n`;
    this.#records.push(`6,${this.#count++},${us},-;${driver} ${bdf}: ${text}\n${facts}`);
    if (this.#records.length > MOST_RECORDS) this.#records.shift();
  }

  /** All that is there, from the oldest on. */
  get text(): string {
    return this.#records.join('');
  }
}
