/** What runs inside the VM, and how it behaves towards hot-plug. */
export interface GuestConfig {
  /**
   * `none`: firmware only, which numbers buses and then idles. `linux` serves ACPI and native
   * ports, the other two only one kind.
   */
  readonly kind?: 'none' | 'linux' | 'linux-acpi' | 'linux-native';
  /**
   * Time from power-on or reset until the operating system serves hot-plug; before, it behaves as
   * `none`. 0 (default) starts with a booted guest.
   */
  readonly bootMs?: number;
  /** False: it never reacts to anything. */
  readonly answers?: boolean;
  /** Added to every reaction. */
  readonly extraMs?: number;
  /** It gives back each hot-added device this long after taking it, unasked. */
  readonly ejectsAfterMs?: number;
  /** Whether it gives BARs addresses; default true. */
  readonly placesBars?: boolean;
}

/** The behaviours that tests name. */
export const GUESTS = {
  absent: { kind: 'none' },
  linux: { kind: 'linux' },
  linuxAcpi: { kind: 'linux-acpi' },
  linuxNative: { kind: 'linux-native' },
  booting: { kind: 'linux', bootMs: 1_900 },
  refusing: { kind: 'linux', answers: false },
  slow: { kind: 'linux', extraMs: 9_000 },
  ejecting: { kind: 'linux', ejectsAfterMs: 1_500 },
} as const satisfies Record<string, GuestConfig>;
