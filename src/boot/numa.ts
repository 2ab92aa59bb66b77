import { deviceArgument, seatProperties } from './arguments.js';
import { BUSES } from './layout.js';
import { Seats, type Seat } from './seats.js';

/** One extra root bus with what goes onto it. */
interface NodeBus {
  readonly node: number;
  /** Buses behind its ports. */
  readonly buses: number;
}

/**
 * A root bus for each NUMA node. The 256 bus numbers are shared: each extra root bus counts from a number
 * of its own up to the next one, so they lie at the top with just as many as they need.
 */
export function planNodeBuses(
  nodes: readonly NodeBus[],
  rootBus: Seats,
): { readonly args: readonly string[]; readonly seats: readonly Seats[] } {
  const needed = nodes.map(({ buses }) => 1 + buses);
  let busNumber = BUSES - needed.reduce((sum, count) => sum + count, 0);
  const args: string[] = [];
  const seats = nodes.map(({ node }, index) => {
    const id = `pxb${index}`;
    const seat: Seat | undefined = rootBus.nextDevice();
    if (seat === undefined) throw new Error('the root bus has room for 30 devices');
    args.push(
      ...deviceArgument([
        'pxb-pcie',
        `id=${id}`,
        ...seatProperties(seat),
        `bus_nr=${busNumber}`,
        `numa_node=${node}`,
      ]),
    );
    busNumber += needed[index] ?? 0;
    return new Seats({ name: id, first: 0, last: 31, numaNode: node });
  });
  return { args, seats };
}

/** What the plan counts on but does not say: nodes and their memory are the VM's own business. */
export function numaExpectation(nodes: readonly number[]): string {
  const example = nodes
    .map(
      (node) =>
        `-object memory-backend-ram,id=mem${node},size=SIZE -numa node,nodeid=${node},memdev=mem${node}`,
    )
    .join(' ');
  return `the VM has the NUMA nodes ${nodes.join(', ')}: ${example}`;
}
