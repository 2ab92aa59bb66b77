import { allOf, valuesTerm, type Expression } from './expression.js';
import { canonicalGlob, canonicalValue, specOf, type FieldSpec } from './fields.js';
import { compileGlob, isGlob } from './glob.js';
import { readPattern } from './read-value.js';
import { BadValue } from './syntax-error.js';

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const LIBVIRT = /^pci_([0-9a-f]{4,8})_([0-9a-f]{2})_([01][0-9a-f])_([0-7])$/i;
/** Whatever stands for a device in sysfs has its name as the last component. */
const PCI_PATH = /^\/sys\/(?:[^/]+\/)+([0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7])\/*$/i;
const MDEV_PATH = /^\/sys\/(?:[^/]+\/)+([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\/*$/i;
const CDEV = /^vfio\d+$/;
const ADDRESS = /^(?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/i;
/** Hex digits, colons, a dot, wildcards: an address or an id, once it is known which. */
const ADDRESS_LIKE = /^(?:[0-9a-f:.*?]|\[!?[0-9a-f-]+\])+$/i;

/**
 * Reads what needs no field name: addresses, ids, paths, UUIDs, libvirt's names; undefined for anything
 * else.
 *
 * @throws {BadValue} what can be read in two ways, or is nearly one of them.
 */
export function readSugar(token: string): Expression | undefined {
  if (token === '*' || token === '**') return valuesTerm('bdf', { kind: 'glob', pattern: '**' });
  if (UUID.test(token)) return one('uuid', token);
  if (token.startsWith('/')) return readPath(token);
  if (CDEV.test(token)) return one('file', `/dev/vfio/devices/${token}`);
  const libvirt = LIBVIRT.exec(token);
  if (libvirt) return one('bdf', libvirt.slice(1).join(':').replace(/:(.)$/, '.$1'));
  if (ADDRESS.test(token)) return one('bdf', token);
  if (!ADDRESS_LIKE.test(token) || !token.includes(':')) return undefined;
  compileGlob(token);
  return token.includes('.') ? readAddressPattern(token) : readId(token);
}

/** Whether the text is an address in one of its spellings, with nothing left to choose but the domain. */
export function isAddress(token: string): boolean {
  return [ADDRESS, LIBVIRT, PCI_PATH, MDEV_PATH, UUID].some((pattern) => pattern.test(token));
}

/** What has the name of a device at its end is that device, also once it is gone; the rest is looked up. */
function readPath(token: string): Expression {
  const plain = !token.split('/').includes('..');
  const bdf = plain ? PCI_PATH.exec(token)?.[1] : undefined;
  if (bdf !== undefined) return one('bdf', bdf);
  const uuid = plain ? MDEV_PATH.exec(token)?.[1] : undefined;
  return uuid === undefined ? one('file', token) : one('uuid', uuid);
}

function readAddressPattern(token: string): Expression {
  if (!isGlob(token)) {
    throw new BadValue(`${token} is no PCI address: write dddd:bb:dd.f or bb:dd.f`);
  }
  return one('bdf', token);
}

/** Two halves of four digits are an id; of two, a bus and a device without a function. */
function readId(token: string): Expression {
  const halves = token.split(':');
  if (halves.length !== 2) {
    throw new BadValue(`${token} is neither an address (dddd:bb:dd.f) nor an id (vvvv:dddd)`);
  }
  const isId = halves.every((half) => half === '' || couldBe(half, 4));
  const isSlot = halves.every((half) => half !== '' && couldBe(half, 2));
  if (isId && isSlot) {
    throw new BadValue(
      `${token} can be an id (id:${token}) or an address (bdf:${token}.*); write which`,
    );
  }
  if (isId && token !== ':') return one('id', token);
  throw new BadValue(
    isSlot
      ? `${token} lacks the function of an address (${token}.*), or has too few digits for an id`
      : `${token} is no id: both halves have four hex digits`,
  );
}

function couldBe(half: string, digits: number): boolean {
  const units = half.replace(/\[[^\]]*\]/g, '?').replace(/\*+/g, '');
  return half.includes('*') ? units.length <= digits : units.length === digits;
}

function one(field: string, value: string): Expression {
  return valuesTerm(field, readPattern(field, known(field), value));
}

function known(field: string): FieldSpec {
  const spec = specOf(field);
  if (spec === undefined) throw new Error(`no field ${field}`);
  return spec;
}

/** Terms of the parts that are given; everything where none is. */
function terms(parts: readonly (readonly [string, string | undefined])[]): Expression {
  const [first, ...others] = parts.flatMap(([field, value]) => {
    if (value === undefined || value === '' || value === '*') return [];
    const spec = known(field);
    const glob = value.replaceAll('x', '?');
    const text = /[x?]/.test(value) ? canonicalGlob(spec, glob) : canonicalValue(spec, value);
    return [one(field, text)];
  });
  if (first === undefined) return valuesTerm('bdf', { kind: 'glob', pattern: '**' });
  return allOf([first, ...others]);
}

/**
 * `-s` of lspci and setpci: `[[[[domain]:]bus]:][device][.[function]]`, what is left out is any.
 *
 * @throws {BadValue}
 */
export function readLspciSlot(text: string): Expression {
  const match = /^(?:(?:([^:.]*):)?([^:.]*):)?([^:.]*)(?:\.([^:.]*))?$/.exec(text);
  if (!match || text === '') {
    throw new BadValue('-s takes [[[[domain]:]bus]:][device][.[function]] in hex');
  }
  const [, domain, bus, slotno, fn] = match;
  return terms([
    ['domain', domain],
    ['bus', bus],
    ['slotno', slotno],
    ['fn', fn],
  ]);
}

/**
 * `-d` of lspci and setpci: `[vendor]:[device][:class[:interface]]`, what is left out is any.
 *
 * @throws {BadValue}
 */
export function readLspciId(text: string): Expression {
  const [vendor, device, classCode, progif, ...more] = text.split(':');
  if (device === undefined || more.length > 0) {
    throw new BadValue('-d takes [vendor]:[device][:class[:interface]] in hex');
  }
  for (const half of [vendor, device]) {
    if (half && !/^(?:\*|[0-9a-f]{1,4})$/i.test(half)) throw new BadValue(`${half} is no hex id`);
  }
  return terms([
    ['vendor', vendor],
    ['device', device],
    ['class', classCode],
    ['progif', progif],
  ]);
}
