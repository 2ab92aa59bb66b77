/** A place for a port or bridge on a bus: what its `-device` argument says. */
export interface Seat {
  readonly bus: string;
  /** `0x2.0`. */
  readonly addr: string;
  /** Whether it is function 0 of a device that has room for more. */
  readonly multifunction: boolean;
  /** NUMA node of the bus; undefined on the root bus of the machine. */
  readonly numaNode: number | undefined;
}

/** Functions of one device. */
export const FUNCTIONS = 8;

/** Hands out places on a bus, eight ports to a device. */
export class Seats {
  readonly #bus: string;
  readonly #last: number;
  readonly #numaNode: number | undefined;
  #device: number;
  #fn = 0;

  constructor(bus: { name: string; first: number; last: number; numaNode?: number }) {
    this.#bus = bus.name;
    this.#device = bus.first;
    this.#last = bus.last;
    this.#numaNode = bus.numaNode;
  }

  /** The next function, of the same device as long as it has one; undefined where the bus is full. */
  next(): Seat | undefined {
    if (this.#device > this.#last) return undefined;
    const fn = this.#fn;
    const seat = this.#seat(fn, fn === 0);
    this.#fn = (fn + 1) % FUNCTIONS;
    if (this.#fn === 0) this.#device += 1;
    return seat;
  }

  /** The next device to itself, for what has no siblings. */
  nextDevice(): Seat | undefined {
    if (this.#fn !== 0) {
      this.#fn = 0;
      this.#device += 1;
    }
    if (this.#device > this.#last) return undefined;
    const seat = this.#seat(0, false);
    this.#device += 1;
    return seat;
  }

  #seat(fn: number, multifunction: boolean): Seat {
    const addr = `0x${this.#device.toString(16)}.${fn}`;
    return { bus: this.#bus, addr, multifunction, numaNode: this.#numaNode };
  }
}
