import type { OpenNode } from '../../host/effects.js';
import { closeFdNumber, type Process } from './processes.js';

/** A device node that a process of the simulated host has open. Closing tells the kernel. */
export class SimulatedNode implements OpenNode {
  /** As readlink of /proc/<pid>/fd/<n> shows it. */
  readonly path: string;
  readonly #process: Process;
  readonly #onClose: () => void;
  #fd: number;

  constructor(
    path: string,
    { process, fd }: { process: Process; fd: number },
    onClose: () => void,
  ) {
    this.path = path;
    this.#process = process;
    this.#fd = fd;
    this.#onClose = onClose;
  }

  get fd(): number {
    return this.#fd;
  }

  async close(): Promise<void> {
    this.drop();
  }

  drop(): void {
    if (this.#fd < 0) return;
    closeFdNumber(this.#process, this.#fd);
    this.#fd = -1;
    this.#onClose();
  }
}
