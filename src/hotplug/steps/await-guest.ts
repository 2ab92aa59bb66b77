import type { Clock } from '../../clock.js';
import type { StepHandler } from '../../engine/index.js';
import type { AwaitGuest } from '../../plan/steps.js';
import { queryPci, type PciRegionInfo } from '../../qmp/query-pci.js';
import type { StepContext } from '../context.js';
import { EXPANSION_ROM } from '../live-fit.js';
import { deviceIds } from '../presence.js';
import { findById } from '../status.js';

// QEMU has no event for a BAR that was placed, so this is the one thing that is asked for again.
const LOOK_AGAIN_MS = 20;
const LONGEST_PAUSE_MS = 250;

/** Waits until a driver of the guest has given every memory BAR an address and decodes it. */
export const awaitGuest: StepHandler<AwaitGuest, StepContext> = {
  async do(step, context) {
    const unplaced = await unplacedBars(step, context);
    if (unplaced.length === 0) return;
    return { waiting: `the guest has not placed ${unplaced.join(', ')}` };
  },
  async probe(step, context) {
    try {
      return (await unplacedBars(step, context)).length === 0 ? 'present' : 'absent';
    } catch {
      return 'unreadable';
    }
  },
  async wait(step, context, signal) {
    const { clock } = context;
    const startedAt = clock.now();
    // Looking goes on out here, without lock and journal, until there is something to tell.
    do {
      await pause(clock, lookAgainMs(clock.now() - startedAt), signal);
    } while (!signal.aborted && (await unplacedBars(step, context)).length > 0);
  },
};

/** Often while it is likely, seldom once it is not: a quarter of the time that has passed. */
function lookAgainMs(passedMs: number): number {
  return Math.min(Math.max(LOOK_AGAIN_MS, passedMs / 4), LONGEST_PAUSE_MS);
}

function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const finish = () => {
      cancel();
      signal.removeEventListener('abort', finish);
      resolve();
    };
    const cancel = clock.after(delayMs, finish);
    signal.addEventListener('abort', finish);
  });
}

/**
 * QEMU shows the address of a region only while the guest decodes it. A driver may leave I/O space off (Linux
 * e1000e does: pci_enable_device_mem), and the expansion ROM is decoded only while it is read.
 */
function guestPlaces({ kind, bar }: PciRegionInfo): boolean {
  return kind === 'memory' && bar !== EXPANSION_ROM;
}

/**
 * BARs without an address, named; a device that the guest's buses do not show yet counts whole. For one that
 * has left the VM there is nothing to wait for: whoever asked for it finds that out.
 */
async function unplacedBars({ ids }: AwaitGuest, { vm }: StepContext): Promise<readonly string[]> {
  const pci = await queryPci(await vm.session());
  const isHidden = (id: string) => findById(pci, id) === undefined;
  const present = ids.some(isHidden) ? await deviceIds(vm) : new Set(ids);
  return ids.flatMap((id) => {
    const device = findById(pci, id);
    if (device === undefined) return present.has(id) ? [id] : [];
    return device.regions
      .filter((region) => guestPlaces(region) && region.address === undefined)
      .map((region) => `BAR ${region.bar} of ${id}`);
  });
}
