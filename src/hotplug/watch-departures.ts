import type { QmpEvent } from '../qmp/session.js';
import { readAttachments, readLeaving, RecoveryReport } from './reconcile.js';
import type { VmSession } from './vm-session.js';

/** What is found to be gone while QEMU still has it open gets so long before a later command goes on. */
const RELEASE_MS = 15_000;

/**
 * Gives back what leaves a VM unasked while it is open: the guest ejected it, or took it back while it
 * booted. An event prompts the look; what is done is what the next command would do.
 */
export class DepartureWatch {
  readonly #session: VmSession;
  readonly #stop = new AbortController();
  readonly #stopListening: () => void;
  #work: Promise<void> = Promise.resolve();

  constructor(session: VmSession) {
    this.#session = session;
    this.#stopListening = session.link.onEvent((event) => {
      const id = deletedId(event);
      if (id !== undefined) this.#work = this.#work.then(() => this.#lookSafely(id));
    });
  }

  /** Ends the watch; what it has begun ends itself or is taken up by a later command. */
  async close(): Promise<void> {
    this.#stopListening();
    this.#stop.abort();
    await this.#work;
  }

  async #lookSafely(id: string): Promise<void> {
    const { signal } = this.#stop;
    if (signal.aborted) return;
    try {
      await this.#look(id, signal);
    } catch (error) {
      const { logger } = this.#session.environment;
      logger.warn({ id, error: String(error) }, 'left unasked; a later command looks again');
    }
  }

  async #look(id: string, signal: AbortSignal): Promise<void> {
    const session = this.#session;
    if (!(await this.#isOurs(id))) return;
    const report = new RecoveryReport();
    const patience = session.patience({ timeoutMs: RELEASE_MS, signal });
    await session.exclusively(patience, () => session.reconcile(report));
    for (const result of report.waiting) {
      const { subject } = result.progress.plan;
      if (subject.kind !== 'detach' || !subject.ids.includes(id)) continue;
      const ended = await session.runner.drive(result, patience);
      if (ended.kind !== 'waiting') session.tell(ended);
    }
  }

  /** Whether it is something attached whose removal nobody has asked for. */
  async #isOurs(id: string): Promise<boolean> {
    const { runner } = this.#session;
    const attachments = await readAttachments(runner);
    if (!attachments.some(({ functions }) => functions.some((fn) => fn.id === id))) return false;
    return !(await readLeaving(runner)).has(id);
  }
}

function deletedId({ event, data }: QmpEvent): string | undefined {
  const { device } = data;
  return event === 'DEVICE_DELETED' && typeof device === 'string' ? device : undefined;
}
