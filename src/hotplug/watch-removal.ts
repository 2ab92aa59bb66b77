import { UnplugRefusedError } from '../engine/step-errors.js';
import type { StepContext } from './context.js';

/** No event tells that a group node was closed or that a busy slot calmed down. */
export const LOOK_AGAIN_MS = 250;

/**
 * Waits until devices are seen off, or until it is time to do something about it: the guest is to be asked
 * again in `atMostMs`, or a reset has come. An event prompts a look; it is never proof.
 *
 * @throws {UnplugRefusedError} when the guest declines to release one of the ids.
 */
export async function watchRemoval(watch: {
  readonly context: Pick<StepContext, 'vm' | 'clock' | 'removals'>;
  readonly signal: AbortSignal;
  readonly ids: readonly string[];
  readonly atMostMs: number;
  readonly isOver: () => Promise<boolean>;
}): Promise<void> {
  const { context, signal, ids, atMostMs, isOver } = watch;
  const { vm, clock, removals } = context;
  const endsAt = clock.now() + atMostMs;
  let wake: () => void = () => undefined;
  let wasReset = false;
  let prompted = false;
  const prompt = () => {
    prompted = true;
    wake();
  };
  const stopListening = vm.onEvent(({ event }) => {
    wasReset ||= event === 'RESET';
    if (PROMPTS.has(event)) prompt();
  });
  signal.addEventListener('abort', prompt);
  try {
    // Listening first and looking second: what comes between two looks is never missed.
    while (!signal.aborted) {
      prompted = false;
      if (await isOver()) return;
      const declined = removals.takeDeclined(ids);
      if (declined !== undefined) throw declinedBy(declined);
      const leftMs = endsAt - clock.now();
      if (wasReset || leftMs <= 0) return;
      const woken = new Promise<void>((resolve) => (wake = resolve));
      const cancelTimer = clock.after(Math.min(LOOK_AGAIN_MS, leftMs), wake);
      if (!prompted) await woken;
      cancelTimer();
    }
  } finally {
    stopListening();
    signal.removeEventListener('abort', prompt);
  }
}

const PROMPTS: ReadonlySet<string> = new Set([
  'DEVICE_DELETED',
  'DEVICE_UNPLUG_GUEST_ERROR',
  'RESET',
  'SHUTDOWN',
  'RESUME',
]);

function declinedBy(id: string): UnplugRefusedError {
  return new UnplugRefusedError('UNPLUG_REFUSED', `The guest declined to release ${id}`, {
    remedy: 'stop using the device in the guest, then detach again',
    details: { id },
  });
}
