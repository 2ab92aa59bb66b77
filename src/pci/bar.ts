/**
 * Where a BAR lives, decided by the prefetchable bit and the width together: only a 64-bit
 * prefetchable BAR may go above 4 GiB behind a bridge (PCI-to-PCI Bridge Architecture 1.2,
 * section 3.2.5.8; PCIe Base 5.0, 7.5.1.3.9).
 */
export type BarKind = 'io' | 'mem32' | 'mem64' | 'pref32' | 'pref64' | 'rom';

/** One base address register of a function, as the host has it now. */
export interface Bar {
  /** 0-5, or 6 for the expansion ROM: the row in sysfs `resource`. */
  readonly index: number;
  readonly kind: BarKind;
  /** Bytes; a power of two. */
  readonly sizeBytes: bigint;
}

/** A port's window in guest physical addresses; `limit` is the last byte, inclusive. */
export interface Window {
  readonly base: bigint;
  readonly limit: bigint;
}
