import type { GuestPath } from '../pci/guest-path.js';
import { excerpt } from '../text.js';
import type { QomReader, Reading } from './qom.js';

/** Where a device says it is. */
export interface Seat {
  /** devfn: device * 8 + function. Absent where the device has no PCI address. */
  readonly addr: Reading<bigint>;
  /** QOM path of the bus. */
  readonly parentBus: Reading<string>;
}

/** The way from a device up to its root bus. */
export type Route =
  | { readonly kind: 'rooted'; readonly path: GuestPath; readonly rootBus: string }
  | { readonly kind: 'not-pci' }
  | { readonly kind: 'unknown'; readonly reason: string };

/** Levels of bridges that are followed. The deepest tree that QEMU's documentation shows has four. */
const MAX_LEVELS = 16;
/** Owners of buses that are asked where they are; a PCI domain has 256 buses. */
const MAX_OWNERS = 256;

/** Asks a device where it is: two commands. */
export async function readSeat(reader: QomReader, path: string): Promise<Seat> {
  const [addr, parentBus] = await Promise.all([
    reader.unsigned(path, 'addr', 8),
    reader.text(path, 'parent_bus'),
  ]);
  return { addr, parentBus };
}

/**
 * The given seats and those of everything above them: host bridges, and bridges that the machine has by
 * itself. All that is missing on one level is asked for at once.
 */
export async function completeSeats(
  reader: QomReader,
  known: ReadonlyMap<string, Seat>,
): Promise<ReadonlyMap<string, Seat>> {
  const seats = new Map(known);
  let asked = 0;
  for (let level = 0; level < MAX_LEVELS; level += 1) {
    const owners = [...seats.values()].map(busOf).map((bus) => bus && ownerOf(bus));
    const missing = [...new Set(owners)].filter(
      (owner): owner is string => owner !== undefined && !seats.has(owner),
    );
    asked += missing.length;
    if (missing.length === 0 || asked > MAX_OWNERS) break;
    const found = await Promise.all(missing.map((owner) => readSeat(reader, owner)));
    missing.forEach((owner, index) => {
      const seat = found[index];
      if (seat !== undefined) seats.set(owner, seat);
    });
  }
  return seats;
}

/**
 * The way up from a device, owner by owner. The paths are QEMU's and mean nothing by themselves: the top
 * is the owner that has no `addr`, whatever it is called.
 */
export function routeOf(seats: ReadonlyMap<string, Seat>, device: string): Route {
  const path: { device: number; function: number }[] = [];
  const visited = new Set<string>();
  let bus = '';
  let owner = device;
  for (let level = 0; level < MAX_LEVELS; level += 1) {
    if (visited.has(owner)) return lost(`${owner} is behind itself`);
    visited.add(owner);
    const seat = seats.get(owner);
    if (seat?.addr.kind === 'absent') {
      return level === 0 ? { kind: 'not-pci' } : { kind: 'rooted', path, rootBus: bus };
    }
    if (seat?.addr.kind !== 'value') return lost(`the address of ${owner} cannot be read`);
    if (seat.parentBus.kind !== 'value') return lost(`the bus of ${owner} cannot be read`);
    const devfn = Number(seat.addr.value);
    path.unshift({ device: devfn >> 3, function: devfn & 7 });
    bus = seat.parentBus.value;
    const next = ownerOf(bus);
    if (next === undefined) return lost(`${owner} is on ${bus}, which is no path`);
    owner = next;
  }
  return lost(`${device} is more than ${MAX_LEVELS} levels deep`);
}

/** Path of the device that offers a bus; undefined for text that is no path. */
export function ownerOf(bus: string): string | undefined {
  const cut = bus.lastIndexOf('/');
  return bus.startsWith('/') && cut > 0 ? bus.slice(0, cut) : undefined;
}

/** The bus of a device that has a PCI address on it. */
function busOf({ addr, parentBus }: Seat): string | undefined {
  return addr.kind === 'value' && parentBus.kind === 'value' ? parentBus.value : undefined;
}

function lost(reason: string): Route {
  return { kind: 'unknown', reason: excerpt(reason) };
}
