import { InputError } from '../errors.js';
import type { Seat, Seats } from './seats.js';
import type { PlannedPort } from './types.js';

/** Ports of one kind and the arguments that make them, in the order in which QEMU must see them. */
export interface PlannedPart {
  readonly args: readonly string[];
  readonly ports: readonly PlannedPort[];
}

/** What the parts of a plan take from: places, and slot numbers that are unique in the one chassis. */
export interface Layout {
  /** The place of the `index`th of `count` ports or bridges: the buses take equal shares, in order. */
  seat(index: number, count: number): Seat;
  /** The same, with a device number to itself. */
  device(index: number, count: number): Seat;
  /** The next slot number, 1-255. */
  slot(): number;
}

/** Which of `buses` the `index`th of `count` things goes to. */
export function shareOf(index: number, count: number, buses: number): number {
  return Math.floor((index * buses) / count);
}

/** A layout on one bus, or on one for each NUMA node. */
export function layoutOn(buses: readonly Seats[]): Layout {
  let slot = 0;
  const take = (index: number, count: number, from: (seats: Seats) => Seat | undefined): Seat => {
    const seats = buses[shareOf(index, count, buses.length)];
    const seat = seats && from(seats);
    if (seat !== undefined) return seat;
    throw new InputError('BAD_ARGUMENT', 'The root bus has no device number left for the ports', {
      remedy: 'start at a lower device, or plan fewer ports',
    });
  };
  return {
    seat: (index, count) => take(index, count, (seats) => seats.next()),
    device: (index, count) => take(index, count, (seats) => seats.nextDevice()),
    slot: () => (slot += 1),
  };
}

/** Buses of a PCI domain. */
export const BUSES = 256;

/** @throws {InputError} `BAD_ARGUMENT` where the domain has too few buses. */
export function checkBuses(
  terms: readonly { readonly what: string; readonly buses: number }[],
): void {
  const sum = terms.reduce((total, { buses }) => total + buses, 0);
  if (sum <= BUSES) return;
  const list = terms.filter(({ buses }) => buses > 0).map(({ what, buses }) => `${buses} ${what}`);
  throw new InputError(
    'BAD_ARGUMENT',
    `The plan needs ${sum} buses (${list.join(', ')}); a PCI domain has ${BUSES}`,
    {
      remedy: 'plan fewer ports, and further VMs for the rest; a root port takes one bus',
      details: { neededBuses: sum, buses: BUSES },
    },
  );
}
