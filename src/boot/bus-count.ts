import type { PortCounts } from './check-request.js';
import { shareOf } from './layout.js';
import { PORTS_PER_SWITCH, switchCount } from './switch-ports.js';

/** Buses that the parts of a plan take behind one root bus. */
export interface BusCount {
  readonly rootPorts: number;
  readonly switches: number;
  readonly bridges: number;
}

/**
 * Buses behind the root bus of the `share`th of `shares` nodes: one behind a root port; of a switch one
 * behind its root port, one inside and one behind each of its ports; two of a bridge with its root port,
 * or one.
 */
export function countBuses(
  counts: PortCounts,
  bridgesHaveRootPorts: boolean,
  share = 0,
  shares = 1,
): BusCount {
  const mine = (count: number) =>
    Array.from({ length: count }, (_, index) => index).filter(
      (index) => shareOf(index, count, shares) === share,
    );
  const switches = switchCount(counts.switchPorts);
  const portsOf = (index: number) =>
    Math.min(PORTS_PER_SWITCH, counts.switchPorts - index * PORTS_PER_SWITCH);
  return {
    rootPorts: mine(counts.rootPorts).length,
    switches: mine(switches).reduce((sum, index) => sum + 2 + portsOf(index), 0),
    bridges: mine(counts.pciBridges).length * (bridgesHaveRootPorts ? 2 : 1),
  };
}
