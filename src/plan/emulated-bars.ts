import type { JsonObject, JsonValue } from '../json.js';
import { known, unknown, type Known } from '../known.js';
import type { Bar, BarKind } from '../pci/bar.js';

const KIB = 1n << 10n;

const bar = (index: number, kind: BarKind, sizeBytes: bigint): Bar => ({ index, kind, sizeBytes });

/**
 * BARs of the emulated devices that practice is done with, by driver: as `query-pci` of QEMU 7.2.22 shows
 * them. Of every other driver they are known once QEMU has made the device.
 */
const BARS: ReadonlyMap<string, (device: JsonObject) => readonly Bar[]> = new Map([
  [
    'pci-testdev',
    ({ membar }: JsonObject) => {
      const size = sizeOf(membar);
      const small = [bar(0, 'mem32', 4n * KIB), bar(1, 'io', 256n)];
      return size === 0n ? small : [...small, bar(2, 'pref64', size)];
    },
  ],
  ['edu', () => [bar(0, 'mem32', KIB * KIB)]],
  ['virtio-rng-pci', () => [bar(1, 'mem32', 4n * KIB), bar(4, 'pref64', 16n * KIB)]],
]);

/** The BARs that an emulated device will have, where that can be told before QEMU makes it. */
export function emulatedBars(device: JsonObject): Known<readonly Bar[]> {
  const driver = typeof device.driver === 'string' ? device.driver : 'device';
  const bars = BARS.get(driver)?.(device);
  return bars === undefined
    ? unknown(`the BARs of a ${driver} are known once QEMU has made it`)
    : known(bars);
}

function sizeOf(value: JsonValue | undefined): bigint {
  // Anything else is refused when the command is checked, before it is sent.
  return typeof value === 'bigint' || Number.isSafeInteger(value)
    ? BigInt(value as number | bigint)
    : 0n;
}
