import { formatSize, parseSize } from '../../pci/size.js';
import type { FlagName } from './expression.js';
import { isGlob } from './glob.js';
import { BadValue } from './syntax-error.js';

/** How the values of a field are spelled, and whether they can be compared. */
export type FieldKind =
  | 'bdf'
  /** `vendor:device`, four hex digits each. */
  | 'pair'
  | 'class'
  | 'hex'
  | 'integer'
  | 'size'
  /** GT/s, with a fraction. */
  | 'speed'
  | 'choice'
  /** An absolute path; case counts, and there are no patterns. */
  | 'file'
  | 'text';

export interface FieldSpec {
  readonly kind: FieldKind;
  /** Digits of a hex field. */
  readonly width?: number;
  /** A hex field that also goes by the names of the pci.ids list. */
  readonly named?: boolean;
  /** What a `choice` may be, and words that other kinds take besides. */
  readonly words?: readonly string[];
  /** One line for the documentation and for `qmplug devices --help`. */
  readonly about: string;
}

const text = (about: string, ...words: string[]): FieldSpec => ({ kind: 'text', about, words });
const integer = (about: string, ...words: string[]): FieldSpec => ({
  kind: 'integer',
  about,
  words,
});
const hex = (width: number, about: string, named = false): FieldSpec => ({
  kind: 'hex',
  width,
  about,
  named,
});

/** Class names, as prefixes of the six digits of a class code. */
export const CLASS_NAMES = {
  storage: ['01'],
  network: ['02'],
  display: ['03'],
  multimedia: ['04'],
  memory: ['05'],
  bridge: ['06'],
  communication: ['07'],
  system: ['08'],
  input: ['09'],
  docking: ['0a'],
  processor: ['0b'],
  serial: ['0c'],
  gpu: ['0300', '0302', '0380'],
  nvme: ['0108'],
  nic: ['0200', '0207', '0208'],
  usb: ['0c03'],
  audio: ['0401', '0403'],
  // Only of NVIDIA (10de): other vendors have other bridges of that class.
  nvswitch: ['0680'],
} as const satisfies Readonly<Record<string, readonly string[]>>;

const FIELDS: Readonly<Partial<Record<string, FieldSpec>>> = {
  bdf: { kind: 'bdf', about: 'address' },
  file: { kind: 'file', about: 'a path below /sys or /dev/vfio, or a link to one' },
  domain: hex(4, 'PCI domain'),
  bus: hex(2, 'bus number'),
  slotno: hex(2, 'device number on the bus'),
  fn: hex(1, 'function number'),
  kind: { kind: 'choice', words: ['pci', 'mdev'], about: 'PCI function or mediated device' },
  uuid: text('UUID of a mediated device'),
  vendor: hex(4, 'vendor, by id or name', true),
  device: hex(4, 'device, by id or name', true),
  id: { kind: 'pair', about: 'vendor:device' },
  subvendor: hex(4, 'subsystem vendor'),
  subdevice: hex(4, 'subsystem device'),
  subsys: { kind: 'pair', about: 'subsystem vendor:device' },
  revision: hex(2, 'revision'),
  progif: hex(2, 'programming interface, the last byte of the class'),
  class: { kind: 'class', about: 'class code, a prefix of it, or a name' },
  driver: text('bound driver', 'none'),
  override: text('driver_override', 'none'),
  module: text('kernel module of the bound driver'),
  numa: integer('NUMA node, -1 where the firmware does not tell', 'near'),
  root: text('root bus, for example pci0000:00'),
  socket: integer('CPU package of the local CPUs'),
  parent: { kind: 'bdf', about: 'the function directly above' },
  upstream: { kind: 'bdf', about: 'any function above' },
  path: text('topology path, for example pci-0000:00:1c.4/00.0'),
  group: integer('IOMMU group', 'none'),
  'group-size': integer('members of the IOMMU group'),
  slot: text('label of the physical slot'),
  label: text("the firmware's name"),
  'acpi-index': integer("the firmware's instance number"),
  serial: text('serial number, of whatever source'),
  name: text('name of a network, block or drm child'),
  sriov: { kind: 'choice', words: ['pf', 'vf', 'none'], about: 'SR-IOV role' },
  'vf-index': integer('number of a VF among those of its PF'),
  vfs: integer('virtual functions enabled'),
  'mdev-type': text('type of mediated device, by id or name'),
  available: integer('mediated devices that can still be made, of any type'),
  reset: text('reset method'),
  'link-speed': { kind: 'speed', about: 'greatest link speed in GT/s' },
  'link-width': integer('greatest link width'),
  bar: { kind: 'size', about: 'size of the largest BAR' },
  ...Object.fromEntries(
    [0, 1, 2, 3, 4, 5].map((index) => [
      `bar${index}`,
      { kind: 'size', about: `size of BAR ${index}` } satisfies FieldSpec,
    ]),
  ),
  'boot-vga': { kind: 'choice', words: ['true', 'false'], about: 'the display of the firmware' },
  'in-use': { kind: 'choice', words: ['free', 'warn', 'block'], about: 'use by the host' },
  'reserved-by': text('the VM or the owner that has reserved it', 'none'),
  variant: text('the VFIO driver that suits it best'),
};

export const FIELD_NAMES: readonly string[] = Object.keys(FIELDS);

/** Flags and what each is short for. */
export const FLAGS: Readonly<Record<FlagName, string>> = {
  vf: 'sriov:vf',
  pf: 'sriov:pf',
  'boot-vga': 'boot-vga:true',
  bound: '!driver:none',
  'in-use': 'in-use:warn,block',
  reserved: '!reserved-by:none',
  mdev: 'kind:mdev',
};

export function isFlag(name: string): name is FlagName {
  return Object.hasOwn(FLAGS, name);
}

/** Attributes that wait for a lock, change something, wake the device or have no text. */
const UNREADABLE_ATTRIBUTES =
  /^(driver_override|sriov_numvfs|config|vpd|rom|remove|rescan|reset|resource\d.*|.*_resize|.*\/(?:bind|unbind|new_id|remove_id|create|remove))$/;
const ATTRIBUTE_PATH = /^[A-Za-z0-9_][A-Za-z0-9_.+-]*(?:\/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*$/;
const MAX_ATTRIBUTE_PATH = 128;

/**
 * What is known of a field by its name; undefined for a name that is none.
 *
 * @throws {BadValue} `attr.` with a path that may not be read.
 */
export function specOf(field: string): FieldSpec | undefined {
  if (Object.hasOwn(FIELDS, field)) return FIELDS[field];
  if (field.startsWith('attr.')) {
    checkAttribute(field.slice('attr.'.length));
    return text('attribute of the device in sysfs');
  }
  if (/^udev\.[A-Za-z0-9_]{1,64}$/.test(field)) return text('property that udev keeps');
  if (/^available\.[A-Za-z0-9_-]{1,64}$/.test(field)) {
    return integer('mediated devices of a type that can still be made');
  }
  return undefined;
}

function checkAttribute(path: string): void {
  if (!ATTRIBUTE_PATH.test(path) || path.length > MAX_ATTRIBUTE_PATH || path.includes('..')) {
    throw new BadValue(`attr.${path} is not a path below the device`);
  }
  if (UNREADABLE_ATTRIBUTES.test(path)) {
    throw new BadValue(`attr.${path} may not be read: it has no text, or reading it can hang`);
  }
}

/** Whether values of the field have an order. `attr.` has where the attribute is a number. */
export function isComparable(field: string, { kind }: FieldSpec): boolean {
  return ['hex', 'integer', 'size', 'speed'].includes(kind) || field.startsWith('attr.');
}

/**
 * Canonical spelling of one value without wildcards: lower case, hex without 0x and padded, sizes
 * with the largest suffix.
 *
 * @throws {BadValue} a value that the field never has.
 */
export function canonicalValue({ kind, width = 0, named, words = [] }: FieldSpec, raw: string) {
  const value = raw.toLowerCase();
  if (value.includes('\0')) throw new BadValue('a NUL character');
  if (words.includes(value)) return value;
  switch (kind) {
    case 'file':
      return canonicalPath(raw);
    case 'bdf':
      return canonicalBdf(value);
    case 'pair':
      return canonicalPair(value);
    case 'class':
      return canonicalClass(value);
    case 'hex': {
      const digits = /^(?:0x)?0*([0-9a-f]+)$/.exec(value)?.[1];
      if (digits !== undefined && fitsHex(digits, width)) return digits.padStart(width, '0');
      if (named) return value;
      throw new BadValue(`${quote(raw)} is no hex number of up to ${width} digits`);
    }
    case 'integer':
      if (!/^-?\d{1,15}$/.test(value)) throw new BadValue(`${quote(raw)} is no whole number`);
      return String(Number(value));
    case 'size':
      return canonicalSize(raw);
    case 'speed':
      return canonicalSpeed(value);
    case 'choice':
      throw new BadValue(`${quote(raw)} is none of ${words.join(', ')}`);
    case 'text':
      if (value === '') throw new BadValue('an empty value');
      return value;
  }
}

/** VMD domains have more digits than four. */
const fitsHex = (digits: string, width: number) =>
  digits.length <= (width === 4 ? 8 : width) && (width !== 1 || digits <= '7');

const MAX_PATH = 4096;

function canonicalPath(raw: string): string {
  const parts = raw.split('/');
  if (!raw.startsWith('/') || parts.includes('..') || raw.length > MAX_PATH) {
    throw new BadValue(`${quote(raw)} is no absolute path without ..`);
  }
  const path = `/${parts.filter((part) => part !== '' && part !== '.').join('/')}`;
  if (path === '/') throw new BadValue('/ is no path of a device');
  return path;
}

const FULL_BDF = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/;

function canonicalBdf(value: string): string {
  if (FULL_BDF.test(value)) return value;
  throw new BadValue(`${quote(value)} is no PCI address dddd:bb:dd.f`);
}

function canonicalPair(value: string): string {
  const [vendor, device, ...more] = value.split(':').map((half) => half.replace(/^0x/, ''));
  const isHalf = (half: string | undefined) => half !== undefined && /^[0-9a-f]{1,4}$/.test(half);
  if (!isHalf(vendor) || !isHalf(device) || more.length > 0) {
    throw new BadValue(`${quote(value)} is no vendor:device`);
  }
  return `${vendor?.padStart(4, '0')}:${device?.padStart(4, '0')}`;
}

function canonicalClass(value: string): string {
  if (Object.hasOwn(CLASS_NAMES, value)) return value;
  const digits = value.replace(/^0x/, '');
  if (/^(?:[0-9a-f]{2}){1,3}$/.test(digits)) return digits;
  throw new BadValue(
    `${quote(value)} is no class: two, four or six hex digits, or ${Object.keys(CLASS_NAMES).join(' ')}`,
  );
}

function canonicalSize(raw: string): string {
  try {
    return formatSize(parseSize(raw));
  } catch {
    throw new BadValue(`${quote(raw)} is no size such as 256M or 16G`);
  }
}

function canonicalSpeed(value: string): string {
  const number = /^(\d{1,4}(?:\.\d{1,3})?)(?:gt\/s)?$/.exec(value)?.[1];
  if (number === undefined) throw new BadValue(`${quote(value)} is no speed in GT/s`);
  return String(Number(number));
}

/**
 * Canonical spelling of a pattern with wildcards. An address without a domain is one of any domain,
 * an id may leave out a half.
 *
 * @throws {BadValue} a pattern that no value of the field can match.
 */
export function canonicalGlob({ kind }: FieldSpec, raw: string): string {
  const pattern = raw.toLowerCase();
  switch (kind) {
    case 'bdf': {
      if (/^\*+$/.test(pattern)) return '**';
      if (/[^0-9a-f:.*?[\]!-]/.test(pattern)) {
        throw new BadValue(`${quote(raw)} has what no PCI address has`);
      }
      const colons = pattern.replace(/\[[^\]]*\]/g, '').split(':').length - 1;
      if (pattern.includes('**') || colons === 2) return pattern;
      if (colons === 1) return `*:${pattern}`;
      throw new BadValue(`${quote(raw)} is no address pattern such as 0000:01:*.*`);
    }
    case 'pair': {
      if (/^\*+$/.test(pattern)) return '*:*';
      const halves = pattern.split(':').map((half) => half.replace(/^0x/, '') || '*');
      if (halves.length !== 2) throw new BadValue(`${quote(raw)} is no vendor:device pattern`);
      return halves.map((half) => (isGlob(half) ? half : half.padStart(4, '0'))).join(':');
    }
    case 'hex':
    case 'class':
      return pattern.replace(/^0x/, '');
    case 'size':
    case 'speed':
      throw new BadValue('a pattern; compare it, for example with >=');
    case 'file':
      throw new BadValue('a pattern; a path is followed as it stands');
    case 'integer':
    case 'choice':
    case 'text':
      return pattern;
  }
}

/**
 * The number that a canonical value means, for comparisons: bytes, GT/s, or the number itself;
 * undefined where it is none.
 */
export function numberOf({ kind }: FieldSpec, canonical: string): number | undefined {
  switch (kind) {
    case 'hex':
      return /^[0-9a-f]+$/.test(canonical) ? parseInt(canonical, 16) : undefined;
    case 'size':
      return Number(parseSize(canonical));
    case 'integer':
    case 'speed':
    case 'text': {
      const number = /^0x[0-9a-f]+$/i.test(canonical) ? parseInt(canonical, 16) : Number(canonical);
      return canonical.trim() === '' || Number.isNaN(number) ? undefined : number;
    }
    default:
      return undefined;
  }
}

/** Fields whose spelling is near to a name that is none. */
export function nearFields(name: string): readonly string[] {
  const near = (field: string) =>
    field.startsWith(name) || name.startsWith(field) || differsByOne(field, name);
  return [...FIELD_NAMES, ...Object.keys(FLAGS)].filter(near).slice(0, 4);
}

/** One character more, less, other, or two swapped. */
function differsByOne(a: string, b: string): boolean {
  if (Math.abs(a.length - b.length) > 1) return false;
  let start = 0;
  while (start < a.length && a[start] === b[start]) start += 1;
  const [restA, restB] = [a.slice(start), b.slice(start)];
  return (
    restA.slice(1) === restB.slice(1) ||
    restA.slice(1) === restB ||
    restA === restB.slice(1) ||
    (restA[0] === restB[1] && restA[1] === restB[0] && restA.slice(2) === restB.slice(2))
  );
}

const quote = (value: string) => JSON.stringify(value.slice(0, 60));
