import type { HostSnapshot } from '../host/types.js';
import type { Bar } from '../pci/bar.js';
import type { Bdf } from '../pci/pci-address.js';
import { hostFunction } from './checks.js';
import { expandMembers, type Members } from './members.js';
import { groupBySlot } from './placement.js';

/** What one port must take for a device to be attached later. */
export interface PortNeed {
  /** Host functions that share the port, in numeric order. */
  readonly functions: readonly Bdf[];
  /** The BARs of all of them. */
  readonly bars: readonly Bar[];
}

/**
 * The ports that an attach of this device will take, one for each host slot, with the BARs that go through
 * each: what a boot plan makes room for.
 *
 * @throws {RefusedError} `NO_MATCH`, `NO_IOMMU`.
 */
export function portNeeds(host: HostSnapshot, bdf: Bdf, members: Members): readonly PortNeed[] {
  return groupBySlot(expandMembers(host, bdf, members)).map((placed) => {
    const functions = placed.map((each) => each.bdf).sort();
    return { functions, bars: functions.flatMap((each) => hostFunction(host, each).bars) };
  });
}
