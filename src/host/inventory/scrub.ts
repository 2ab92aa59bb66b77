import type { RecordedRead } from './recorded-reads.js';

/** Where the extended capabilities begin, and the device serial number's id (PCI Express Base, 7.9). */
const EXTENDED = 0x100;
const CAPABILITY_SERIAL = 0x0003;

const NVME_SERIAL = /\/nvme\d+\/serial$/;
const MAC = /\/net\/[^/]+\/address$/;
const CONFIG = /\/config$/;
const VPD = /\/vpd$/;
const BOOT_ID = /\/boot_id$/;

/**
 * Takes away what tells one machine from another of its kind: serial numbers, MAC addresses, the boot. Equal
 * values stay equal and different ones different, so that what depends on them can still be followed.
 */
export function scrubReads(
  reads: ReadonlyMap<string, RecordedRead>,
): ReadonlyMap<string, RecordedRead> {
  const numbers = new Map<string, number>();
  const numberOf = (value: string) => {
    const number = numbers.get(value) ?? numbers.size + 1;
    numbers.set(value, number);
    return number;
  };
  const scrubbed = [...reads].map(([path, read]): readonly [string, RecordedRead] => {
    if (read.kind !== 'file') return [path, read];
    const text = () => new TextDecoder().decode(read.bytes).trim();
    const file = (content: string) =>
      [path, { kind: 'file', bytes: new TextEncoder().encode(`${content}\n`) }] as const;
    if (NVME_SERIAL.test(path)) return file(`SCRUBBED-${numberOf(text())}`);
    if (MAC.test(path)) return file(macOf(numberOf(text())));
    if (BOOT_ID.test(path)) return file('00000000-0000-4000-8000-000000000000');
    if (VPD.test(path)) return [path, { kind: 'file', bytes: new Uint8Array() }];
    if (CONFIG.test(path))
      return [path, { kind: 'file', bytes: scrubConfig(read.bytes, numberOf) }];
    return [path, read];
  });
  return new Map(scrubbed);
}

/** A locally administered address. */
function macOf(number: number): string {
  const digits = number.toString(16).padStart(6, '0');
  return ['02', '00', '00', digits.slice(0, 2), digits.slice(2, 4), digits.slice(4)].join(':');
}

function scrubConfig(config: Uint8Array, numberOf: (value: string) => number): Uint8Array {
  const copy = Uint8Array.from(config);
  const view = new DataView(copy.buffer);
  const seen = new Set<number>();
  let at = EXTENDED;
  while (at >= EXTENDED && at + 12 <= copy.length && !seen.has(at)) {
    seen.add(at);
    const header = view.getUint32(at, true);
    if ((header & 0xffff) === CAPABILITY_SERIAL) {
      const number = numberOf(String(view.getBigUint64(at + 4, true)));
      view.setBigUint64(at + 4, BigInt(number), true);
    }
    at = (header >>> 20) & 0xffc;
  }
  return copy;
}
