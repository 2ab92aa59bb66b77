import { compareBdf, parseBdf, slotOf, type Bdf } from '../pci/pci-address.js';

/** One function and where it goes in its port's slot. */
export interface PlacedFunction {
  readonly bdf: Bdf;
  /** Function number in the guest, 0-7. */
  readonly function: number;
}

/**
 * Host functions by the port they share: functions of one slot go to one port with their own numbers, 1
 * to 7 first and 0 last, because the guest looks at a slot when function 0 arrives (QEMU
 * hw/pci/pci.c, do_pci_register_device: a function after function 0 is refused). Where function 0
 * is not among them the lowest takes its place: a slot without function 0 is invisible.
 */
export function groupBySlot(targets: readonly Bdf[]): readonly (readonly PlacedFunction[])[] {
  const slots = new Map<string, Bdf[]>();
  for (const bdf of [...targets].sort(compareBdf)) {
    const slot = slotOf(bdf);
    slots.set(slot, [...(slots.get(slot) ?? []), bdf]);
  }
  return [...slots.values()].map(([lowest, ...others]) => [
    ...others.map((bdf) => ({ bdf, function: parseBdf(bdf).function })),
    ...(lowest === undefined ? [] : [{ bdf: lowest, function: 0 }]),
  ]);
}

/** `addr` of `device_add`: hex, and always text, because a number means different things by version. */
export function formatAddr(slot: number, fn: number): string {
  const device = `0x${slot.toString(16)}`;
  return fn === 0 ? device : `${device}.${fn}`;
}
