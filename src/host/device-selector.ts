import { InputError, RefusedError } from '../errors.js';
import { compareBdf, parseBdf, slotOf, toBdf, type Bdf } from '../pci/pci-address.js';
import type { HostDevice } from './types.js';

/** A choice of devices, parsed; it knows nothing of a host until it is asked. */
export interface DeviceSelector {
  readonly text: string;
  matches(device: HostDevice): boolean;
}

const FULL = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/i;
const SHORT = /^[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/i;
const LIBVIRT = /^pci_([0-9a-f]{4,8})_([0-9a-f]{2})_([01][0-9a-f])_([0-7])$/i;
const SYSFS =
  /^\/sys\/(?:bus\/pci\/devices|devices\/pci[0-9a-f:]+(?:\/[0-9a-f:.]+)*)\/([^/]+)\/?$/i;

/**
 * Reads a device by its address: `0000:01:00.0`, `01:00.0` (in any domain), libvirt's
 * `pci_0000_01_00_0`, or its path below /sys.
 *
 * @throws {InputError} `SYNTAX` for any other text.
 */
export function parseSelector(text: string): DeviceSelector {
  if (SHORT.test(text)) {
    const { bus, device, function: fn } = parseBdf(text);
    const matches = (candidate: HostDevice) => {
      const address = parseBdf(candidate.bdf);
      return address.bus === bus && address.device === device && address.function === fn;
    };
    return { text, matches };
  }
  const full = fullAddress(text);
  if (full !== undefined) return { text, matches: ({ bdf }) => bdf === full };
  throw new InputError('SYNTAX', `Not a device: ${JSON.stringify(text)}`, {
    remedy: 'name it by its address, for example 0000:3b:00.0; qmplug devices lists them',
  });
}

/**
 * The one device a selector means.
 *
 * @throws {InputError} `SYNTAX`.
 * @throws {RefusedError} `NO_MATCH` with what comes near, `AMBIGUOUS` with all that match.
 */
export function selectDevice(text: string, devices: ReadonlyMap<Bdf, HostDevice>): HostDevice {
  const selector = parseSelector(text);
  const found = [...devices.values()]
    .filter((device) => selector.matches(device))
    .sort((a, b) => compareBdf(a.bdf, b.bdf));
  const [first, ...others] = found;
  if (first === undefined) throw noMatch(text, [...devices.keys()]);
  if (others.length === 0) return first;
  const matches = found.map(({ bdf }) => bdf);
  throw new RefusedError('AMBIGUOUS', `${text} is ${matches.join(' or ')}`, {
    remedy: `write the domain too: ${first.bdf}`,
    details: { selector: text, matches },
  });
}

function fullAddress(text: string): Bdf | undefined {
  if (FULL.test(text)) return toBdf(text);
  const libvirt = LIBVIRT.exec(text);
  if (libvirt) {
    const [, domain = '', bus = '', device = '', fn = ''] = libvirt;
    return toBdf(`${domain}:${bus}:${device}.${fn}`);
  }
  const name = SYSFS.exec(text)?.[1];
  return name !== undefined && FULL.test(name) ? toBdf(name) : undefined;
}

const SHOWN_NEAR_MISSES = 5;

function noMatch(text: string, devices: readonly Bdf[]): RefusedError {
  const nearMisses = findNearMisses(text, devices);
  const near = nearMisses.length > 0 ? `; there is ${nearMisses.join(', ')}` : '';
  return new RefusedError('NO_MATCH', `The host has no device ${text}${near}`, {
    remedy: 'list what it has: qmplug devices',
    details: { selector: text, nearMisses },
  });
}

/** Other functions of the slot first, then the same place in other domains, then one digit off. */
function findNearMisses(text: string, devices: readonly Bdf[]): readonly Bdf[] {
  const wanted = fullAddress(text) ?? toBdf(text);
  const rank = (bdf: Bdf) => {
    if (slotOf(bdf) === slotOf(wanted)) return 1;
    if (afterDomain(bdf) === afterDomain(wanted)) return 2;
    return differingDigits(bdf, wanted) === 1 ? 3 : undefined;
  };
  return devices
    .flatMap((bdf) => {
      const distance = rank(bdf);
      return distance === undefined ? [] : [{ bdf, distance }];
    })
    .sort((a, b) => a.distance - b.distance || compareBdf(a.bdf, b.bdf))
    .slice(0, SHOWN_NEAR_MISSES)
    .map(({ bdf }) => bdf);
}

function afterDomain(bdf: Bdf): string {
  return bdf.slice(bdf.indexOf(':'));
}

function differingDigits(a: string, b: string): number {
  if (a.length !== b.length) return Infinity;
  return [...a].filter((digit, index) => digit !== b[index]).length;
}
