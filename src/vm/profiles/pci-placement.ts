import type { JsonObject } from '../../json.js';
import type { PortPlace } from './profile.js';

/**
 * `bus` and `addr` of a PCI function. The address is text on purpose: a number means the slot up to
 * QEMU 9.1 and the devfn from 9.2 on.
 */
export function pciPlacement({ busName, slot, function: fn }: PortPlace): JsonObject {
  return { bus: busName, addr: pciAddr(slot, fn) };
}

/** `0x0`, or `0x0.1` for a function other than 0. */
export function pciAddr(slot: number, fn: number): string {
  const text = `0x${slot.toString(16)}`;
  return fn === 0 ? text : `${text}.${fn}`;
}
