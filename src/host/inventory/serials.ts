import type { Bdf } from '../../pci/pci-address.js';
import type { Children } from '../children.js';
import type { HostEffects } from '../effects.js';
import { HostIoError } from '../effects.js';
import { devicePath } from '../pci-function.js';
import { ifPresent, readAttribute } from '../reading.js';
import type { Serial, Serials } from './record.js';

const CONFIG_BYTES = 4096;
/** Where the extended capabilities begin (PCI Express Base Specification, 7.9). */
const EXTENDED = 0x100;
const CAPABILITY_SERIAL = 0x0003;
/** Of configuration space only this much is shown to those who are not root (Linux pci-sysfs.c). */
const PUBLIC_BYTES = 64;

/** The runtime power states in which reading configuration space wakes nothing. */
const AWAKE: ReadonlySet<string | undefined> = new Set(['active', 'unsupported', undefined]);

/**
 * Every serial number of a function. Configuration space and vital product data are read where that wakes
 * nothing, or where `deep` asks for it; what was left out is told.
 *
 * @param runtimeStatus `power/runtime_status`, which tells whether the device sleeps.
 */
export async function readSerials(
  effects: HostEffects,
  bdf: Bdf,
  seen: {
    readonly runtimeStatus: string | undefined;
    readonly children: Children;
    readonly deep: boolean;
  },
): Promise<Serials> {
  const { runtimeStatus, children, deep } = seen;
  const found: Serial[] = [
    ...(await readNvme(effects, children.nvme ?? [])),
    ...(await readMacs(effects, children.net ?? [])),
  ];
  if (!deep && !AWAKE.has(runtimeStatus)) {
    return {
      found,
      unread: `the device is ${runtimeStatus}, and reading its serial number wakes it`,
    };
  }
  const config = await readDsn(effects, bdf);
  if (config.value !== undefined) found.unshift({ source: 'dsn', value: config.value });
  const vpd = deep ? await readVpd(effects, bdf) : undefined;
  if (vpd?.value !== undefined) found.push({ source: 'vpd', value: vpd.value });
  return { found, unread: config.unread ?? vpd?.unread };
}

interface Look {
  readonly value: string | undefined;
  readonly unread: string | undefined;
}

async function readDsn(effects: HostEffects, bdf: Bdf): Promise<Look> {
  const path = `${devicePath(bdf)}/config`;
  try {
    const config = await ifPresent(effects.readBytes(path, CONFIG_BYTES));
    // A conventional PCI function has 256 bytes and no extended capabilities.
    const isShort = config !== undefined && config.length <= PUBLIC_BYTES;
    const unread = isShort ? 'configuration space is shown in full to root only' : undefined;
    return { value: config === undefined ? undefined : parseDsn(config), unread };
  } catch (error) {
    return { value: undefined, unread: reasonOfRead(error) };
  }
}

async function readVpd(effects: HostEffects, bdf: Bdf): Promise<Look> {
  try {
    const vpd = await ifPresent(effects.readBytes(`${devicePath(bdf)}/vpd`, 32_768));
    return { value: vpd === undefined ? undefined : parseVpdSerial(vpd), unread: undefined };
  } catch (error) {
    return { value: undefined, unread: reasonOfRead(error) };
  }
}

function reasonOfRead(error: unknown): string {
  if (error instanceof HostIoError) return error.message;
  throw error;
}

/**
 * The device serial number capability as `lspci -v` writes it, eight bytes from the highest down:
 * `00-1b-21-ff-ff-3c-5d-9e`; undefined without one, or with one of all zeros or all ones.
 */
export function parseDsn(config: Uint8Array): string | undefined {
  const view = new DataView(config.buffer, config.byteOffset, config.byteLength);
  const seen = new Set<number>();
  let at = EXTENDED;
  while (at >= EXTENDED && at + 12 <= config.byteLength && !seen.has(at)) {
    seen.add(at);
    const header = view.getUint32(at, true);
    if (header === 0 || header === 0xffff_ffff) return undefined;
    if ((header & 0xffff) === CAPABILITY_SERIAL) {
      const bytes = [...config.subarray(at + 4, at + 12)].reverse();
      if (bytes.every((byte) => byte === 0) || bytes.every((byte) => byte === 0xff))
        return undefined;
      return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('-');
    }
    at = (header >>> 20) & 0xffc;
  }
  return undefined;
}

/** Tag of the read-only part and of the end (PCI Local Bus Specification 3.0, appendix I). */
const VPD_READ_ONLY = 0x90;
const VPD_END = 0x78;

/** The SN keyword of vital product data; undefined where there is none. */
export function parseVpdSerial(vpd: Uint8Array): string | undefined {
  let at = 0;
  while (at < vpd.length) {
    const tag = vpd[at] ?? 0;
    if (tag === VPD_END) return undefined;
    const isLarge = tag >= 0x80;
    const length = isLarge ? (vpd[at + 1] ?? 0) | ((vpd[at + 2] ?? 0) << 8) : tag & 7;
    const start = at + (isLarge ? 3 : 1);
    if (tag === VPD_READ_ONLY) return keyword(vpd.subarray(start, start + length), 'SN');
    at = start + length;
  }
  return undefined;
}

function keyword(fields: Uint8Array, wanted: string): string | undefined {
  for (let at = 0; at + 3 <= fields.length;) {
    const name = String.fromCharCode(fields[at] ?? 0, fields[at + 1] ?? 0);
    const length = fields[at + 2] ?? 0;
    if (name === wanted) {
      const text = new TextDecoder('latin1').decode(fields.subarray(at + 3, at + 3 + length));
      return text.replace(/[\u0000\s]+$/, '').trim() || undefined;
    }
    at += 3 + length;
  }
  return undefined;
}

async function readNvme(
  effects: HostEffects,
  controllers: readonly string[],
): Promise<readonly Serial[]> {
  const serials = await Promise.all(
    controllers.map((name) => readAttribute(effects, `/sys/class/nvme/${name}/serial`)),
  );
  return serials.flatMap((text) => {
    const value = text?.trim();
    return value ? [{ source: 'nvme' as const, value }] : [];
  });
}

/** Of Linux include/uapi/linux/netdevice.h: the address is the hardware's own. */
const NET_ADDR_PERM = '0';

/** A MAC that was set or made up at random tells one boot from the next, not one card from another. */
async function readMacs(
  effects: HostEffects,
  interfaces: readonly string[],
): Promise<readonly Serial[]> {
  const serials = await Promise.all(
    interfaces.map(async (name) => {
      const directory = `/sys/class/net/${name}`;
      if ((await readAttribute(effects, `${directory}/addr_assign_type`)) !== NET_ADDR_PERM)
        return [];
      const address = await readAttribute(effects, `${directory}/address`);
      const isReal = address !== undefined && /^[0-9a-f]{2}(:[0-9a-f]{2}){5,19}$/.test(address);
      return isReal ? [{ source: 'mac' as const, value: address }] : [];
    }),
  );
  return serials.flat();
}
