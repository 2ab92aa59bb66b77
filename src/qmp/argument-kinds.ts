import { isJsonObject, type JsonValue } from '../json.js';
import { fitsHostProperty, parseBdf } from '../pci/pci-address.js';

/** A kind of argument: what it must be, in words, and the test for it. */
export interface ArgumentRule {
  readonly expected: string;
  readonly accepts: (value: JsonValue) => boolean;
}

/**
 * Longest device id. QEMU has no limit (5,000 letters were accepted by 7.2 and 10.0); ours
 * leaves room in QOM paths, file names and messages.
 */
export const MAX_ID_LENGTH = 128;

/**
 * Ids that every QEMU takes and can find again: 9.2 and later accept others, and abort on `/` or
 * an empty one with a virtio device.
 */
const ID = /^[A-Za-z][A-Za-z0-9._-]*$/;

/** Whether the text may name a device or an object of ours. */
export function isDeviceId(text: string): boolean {
  return text.length <= MAX_ID_LENGTH && ID.test(text);
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const PCI_ADDR = /^0x[01]?[0-9a-f](?:\.[0-7])?$/i;
/** `cssid.ssid.devno`; a Linux guest sees css fe only (QEMU hw/s390x/css.c, 7.2). */
const DEVNO = /^fe\.[0-3]\.[0-9a-f]{4}$/i;
const MAC = /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/i;
/** A bus by its name (`rp0`, `pcie.0`) or by its QOM path. */
const BUS = /^(?!.*\.\.)[A-Za-z0-9/][A-Za-z0-9._/[\]-]*$/;
const QOM_PATH = /^\/[\x20-\x7e]*$/;
const PRINTABLE = /^[\x20-\x7e]+$/;
const PERIPHERAL_PATH = /^\/machine\/peripheral(?:-anon)?\/[\x20-\x2e\x30-\x7e]+$/;
const FD_NAME = /^[A-Za-z_][A-Za-z0-9._-]*$/;

const MDEV_PREFIX = '/sys/bus/mdev/devices/';
const PCI_PREFIX = '/sys/bus/pci/devices/';
const SYSFS_DEVICE = /^\/sys\/devices(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9:._,@+-]+)+$/;

const isText = (value: JsonValue, pattern: RegExp, maxLength = 255) =>
  typeof value === 'string' && value.length <= maxLength && pattern.test(value);

const isInteger = (value: JsonValue, low: bigint, high: bigint) => {
  if (typeof value === 'number' && !Number.isSafeInteger(value)) return false;
  if (typeof value !== 'number' && typeof value !== 'bigint') return false;
  return BigInt(value) >= low && BigInt(value) <= high;
};

const isPowerOfTwo = (value: JsonValue) =>
  (typeof value === 'number' || typeof value === 'bigint') &&
  (BigInt(value) & (BigInt(value) - 1n)) === 0n;

const unsigned = (bits: bigint): ArgumentRule => ({
  expected: `an integer of at most ${bits} bits`,
  accepts: (value) => isInteger(value, 0n, 2n ** bits - 1n),
});

const oneOf = (...choices: readonly (string | number | boolean)[]): ArgumentRule => ({
  expected: `one of ${choices.map((choice) => JSON.stringify(choice)).join(', ')}`,
  accepts: (value) => choices.some((choice) => choice === value),
});

const text = (pattern: RegExp, expected: string, maxLength = 255): ArgumentRule => ({
  expected,
  accepts: (value) => isText(value, pattern, maxLength),
});

function isPciHost(value: JsonValue): boolean {
  if (typeof value !== 'string' || !/^[0-9a-f]{4}:/.test(value)) return false;
  try {
    return fitsHostProperty(parseBdf(value));
  } catch {
    return false;
  }
}

/** Whether the path names a device of sysfs and cannot lead anywhere else. */
export function isSysfsDevice(path: string): boolean {
  if (path.startsWith(MDEV_PREFIX)) return UUID.test(path.slice(MDEV_PREFIX.length));
  if (path.startsWith(PCI_PREFIX)) return isPciName(path.slice(PCI_PREFIX.length));
  return path.length <= 1024 && SYSFS_DEVICE.test(path);
}

/** Unlike `host`, `sysfsdev` also takes a domain beyond 0xffff. */
function isPciName(name: string): boolean {
  return /^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/.test(name);
}

function isUnixSocket(value: JsonValue): boolean {
  if (!isJsonObject(value) || value.type !== 'unix') return false;
  const { path, ...rest } = value;
  const isPath = typeof path === 'string' && /^\/[\x21-\x7e]+$/.test(path);
  return isPath && !path.split('/').includes('..') && Object.keys(rest).length === 1;
}

/**
 * Every kind of argument that may go out. Types follow QEMU 9.2 and later, which take JSON
 * booleans and integers only; earlier versions accept these too.
 */
export const ARGUMENT_KINDS = {
  boolean: { expected: 'true or false', accepts: (value) => typeof value === 'boolean' },
  onOff: oneOf('on', 'off'),
  onOffAuto: oneOf('on', 'off', 'auto'),
  uint8: unsigned(8n),
  uint16: unsigned(16n),
  uint32: unsigned(32n),
  uint64: unsigned(64n),
  size: unsigned(64n),
  /** QEMU ends, with everything in it, over any other: pci_register_bar, hw/pci/pci.c (5.2 to 11.1). */
  barSize: {
    expected: '0, or a power of two from 4096 to 2^48',
    accepts: (value) => value === 0 || (isInteger(value, 4096n, 1n << 48n) && isPowerOfTwo(value)),
  },
  bootIndex: {
    expected: 'an integer from -1',
    accepts: (value) => isInteger(value, -1n, 2n ** 31n - 1n),
  },
  romBar: oneOf(0, 1, -1),
  /** QEMU opens whatever file this names; empty means no ROM. */
  noRomFile: oneOf(''),
  id: {
    expected: `an id: a letter, then letters, digits, ".", "_" or "-", at most ${MAX_ID_LENGTH}`,
    accepts: (value) => typeof value === 'string' && isDeviceId(value),
  },
  deviceRef: {
    expected: 'an id or a path below /machine/peripheral',
    accepts: (value) =>
      typeof value === 'string' && (isDeviceId(value) || isText(value, PERIPHERAL_PATH, 1024)),
  },
  bus: {
    expected: 'the name or the QOM path of a bus',
    accepts: (value) => isText(value, BUS, 1024),
  },
  pciAddr: text(PCI_ADDR, 'text "0x<slot>" or "0x<slot>.<function>", slot up to 0x1f'),
  pciHost: { expected: 'dddd:bb:dd.f with a domain up to ffff', accepts: isPciHost },
  sysfsDevice: {
    expected: 'a device below /sys/bus/pci/devices, /sys/bus/mdev/devices or /sys/devices',
    accepts: (value) => typeof value === 'string' && isSysfsDevice(value),
  },
  uuid: text(UUID, 'a UUID'),
  devno: text(DEVNO, 'fe.<ssid 0-3>.<four hex digits>'),
  mac: text(MAC, 'a MAC address'),
  fdName: text(FD_NAME, 'the name of a file descriptor, not starting with a digit', 64),
  unixSocket: {
    expected: '{"type": "unix", "path": an absolute path without ".."}',
    accepts: isUnixSocket,
  },
  linkSpeed: oneOf('2_5', '5', '8', '16', '32', '64'),
  linkWidth: oneOf('1', '2', '4', '8', '12', '16', '32'),
  label: text(PRINTABLE, 'printable ASCII text, at most 64 characters', 64),
  qomPath: text(QOM_PATH, 'an absolute QOM path', 1024),
  qomPaths: {
    expected: 'a list of absolute QOM paths',
    accepts: (value) =>
      Array.isArray(value) &&
      (value as readonly JsonValue[]).every((path) => isText(path, QOM_PATH, 1024)),
  },
  name: text(PRINTABLE, 'printable ASCII text'),
  iommufd: oneOf('iommufd'),
} as const satisfies Readonly<Record<string, ArgumentRule>>;

export type ArgumentKind = keyof typeof ARGUMENT_KINDS;
