import type { Clock } from '../clock.js';
import type { QmpEvent } from '../qmp/session.js';
import { UnplugRefusedError } from '../engine/step-errors.js';
import type { VmLink } from './vm-link.js';

// No event tells that a group node was closed or that a busy slot calmed down.
const LOOK_AGAIN_MS = 250;

/**
 * Waits until it is worth trying again to see devices off: an event, the look that `isOver` takes once
 * the listening has begun, or a quarter of a second. An event prompts a look; it is never proof.
 *
 * @throws {UnplugRefusedError} when the guest declines to release one of the ids.
 */
export async function watchRemoval(watch: {
  readonly vm: VmLink;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly ids: readonly string[];
  readonly isOver: () => Promise<boolean>;
}): Promise<void> {
  const { vm, clock, signal, ids, isOver } = watch;
  let wake: () => void = () => undefined;
  let refusal: UnplugRefusedError | undefined;
  const woken = new Promise<void>((resolve) => (wake = resolve));
  const stopListening = vm.onEvent((event) => {
    refusal ??= refusalIn(event, ids);
    if (PROMPTS.has(event.event)) wake();
  });
  const cancelTimer = clock.after(LOOK_AGAIN_MS, wake);
  signal.addEventListener('abort', wake);
  try {
    // Listening first and looking second: what comes between two looks is never missed.
    if (signal.aborted || (await isOver())) return;
    await woken;
    if (refusal !== undefined) throw refusal;
  } finally {
    stopListening();
    cancelTimer();
    signal.removeEventListener('abort', wake);
  }
}

const PROMPTS: ReadonlySet<string> = new Set([
  'DEVICE_DELETED',
  'DEVICE_UNPLUG_GUEST_ERROR',
  'RESET',
  'SHUTDOWN',
  'RESUME',
]);

function refusalIn(
  { event, data }: QmpEvent,
  ids: readonly string[],
): UnplugRefusedError | undefined {
  const { device } = data;
  if (event !== 'DEVICE_UNPLUG_GUEST_ERROR' || typeof device !== 'string') return undefined;
  if (!ids.includes(device)) return undefined;
  return new UnplugRefusedError('UNPLUG_REFUSED', `The guest declined to release ${device}`, {
    remedy: 'stop using the device in the guest, then detach again',
    details: { id: device },
  });
}
