import type { JsonValue } from '../../json.js';
import { parseJson } from '../../json.js';
import { parseSize } from '../../pci/size.js';
import { parseSelector } from '../selector/index.js';
import { InputError, QmplugError } from '../../errors.js';
import {
  array,
  bad,
  boolean,
  booleanOrKeep,
  object,
  oneOf,
  record,
  text,
  whole,
  type Shape,
} from './shape.js';

/** A picture that Looking Glass has to carry. */
export interface Resolution {
  readonly width: number;
  readonly height: number;
  readonly hdr: boolean;
}

/** A device that vfio-pci must have before its native driver. */
export interface EarlyDevice {
  /** A selector, as every command takes it. */
  readonly device: string;
  readonly method: 'bdf-rule' | 'ids' | 'none';
}

/** Who may lock how much memory; `undefined` bytes are unlimited. */
export interface MemlockWish {
  readonly unit?: string;
  readonly user?: string;
  readonly limitBytes: bigint | undefined;
}

const LIMIT: Shape<bigint | undefined> = (value, path) => {
  if (value === 'unlimited') return undefined;
  try {
    if (typeof value === 'string') return parseSize(value);
  } catch {
    // told below
  }
  throw bad(path, 'a size such as "64G", or "unlimited"', value);
};

const RESOLUTION: Shape<Resolution> = (value, path) => {
  const match = typeof value === 'string' ? /^(\d{2,5})x(\d{2,5})(-hdr)?$/.exec(value) : null;
  if (match === null) throw bad(path, 'a resolution such as "3840x2160" or "3840x2160-hdr"', value);
  return { width: Number(match[1]), height: Number(match[2]), hdr: match[3] !== undefined };
};

const EARLY: Shape<EarlyDevice> = (value, path) => {
  if (typeof value === 'string') return { device: SELECTOR(value, path), method: 'bdf-rule' };
  const shape = object({ device: SELECTOR, method: oneOf('bdf-rule', 'ids', 'none') });
  const { device, method = 'bdf-rule' } = shape(value, path);
  if (device === undefined) throw bad(`${path}.device`, 'a device');
  return { device, method };
};

const SELECTOR: Shape<string> = (value, path) => {
  try {
    if (typeof value === 'string') {
      parseSelector(value);
      return value;
    }
  } catch (error) {
    if (!(error instanceof QmplugError)) throw error;
  }
  throw bad(path, 'a device, for example "0000:01:00.0"', value);
};

const MEMLOCK: Shape<MemlockWish> = (value, path) => {
  const members = object({
    // What systemd allows in a unit's name (systemd.unit(5)); the path of its drop-in is made of it.
    unit: text(
      /^[\w:.@\\-]{1,200}\.service$/,
      'the name of a service, for example "libvirtd.service"',
    ),
    user: text(/^[a-z_][\w.-]{0,31}$/, 'the name of a user'),
    limit: LIMIT,
  })(value, path);
  const named = (['unit', 'user'] as const).filter((name) => members[name] !== undefined);
  if (named.length !== 1) throw bad(path, 'one of unit and user');
  if (!('limit' in members)) throw bad(`${path}.limit`, 'a size such as "64G", or "unlimited"');
  const { limit, ...who } = members;
  return { ...who, limitBytes: limit };
};

/** Pages of a node; more than a million 2 MiB pages are 2 TiB. */
const PER_NODE = record(/^\d{1,3}$/, whole(0, 1 << 20));
const MAX_KVMFR_DEVICES = 10;
const POWER_OF_TWO_MB: Shape<number> = (value, path) => {
  const size = whole(1, 1 << 16)(value, path);
  if ((size & (size - 1)) !== 0) throw bad(path, 'a power of two, in MiB', value);
  return size;
};

const KVMFR = object({
  enabled: boolean,
  sizesMb: array(POWER_OF_TWO_MB),
  resolutions: array(RESOLUTION),
  formula: oneOf('larger', 'double', 'triple'),
  group: text(/^[a-z_][\w.-]{0,31}$/, 'the name of a group'),
  splitLockDetectOff: boolean,
});

const DOCUMENT = object({
  version: whole(1, 1),
  iommu: object({ mode: oneOf('on', 'pt', 'strict', 'keep') }),
  early: array(EARLY),
  vfio: object({
    disableVga: booleanOrKeep,
    disableIdleD3: booleanOrKeep,
    blacklist: booleanOrKeep,
  }),
  kvm: object({
    ignoreMsrs: booleanOrKeep,
    reportIgnoredMsrs: booleanOrKeep,
    nested: booleanOrKeep,
  }),
  kvmfr: KVMFR,
  hugepages: object({ '2M': PER_NODE, '1G': PER_NODE }),
  memlock: array(MEMLOCK),
  initramfs: oneOf('auto', 'never', 'imageOnly'),
  fallback: oneOf('blacklist', 'none'),
  mac: object({ selinux: oneOf('auto', 'never'), apparmor: oneOf('auto', 'never') }),
  backend: text(/^[a-z][a-z0-9-]*$/, '"auto" or the name of a backend'),
  isolation: object({ require: boolean }),
  // Nothing here can bring these about: the doctor holds devices to them.
  devices: object({
    requireReset: boolean,
    vgpu: oneOf('mdev', 'nvidia-vendor-vfio', 'keep'),
  }),
});

/** What the host shall be like. A key that is absent, or `keep`, is not ours to touch. */
export type DesiredState = ReturnType<typeof DOCUMENT>;

/**
 * Reads a desired state.
 *
 * @throws {InputError} `BAD_DESIRED_STATE` with the path of what is wrong in it; `SYNTAX` where it is no JSON.
 */
export function parseDesiredState(source: string): DesiredState {
  return readDesiredState(readJson(source));
}

function readJson(source: string): JsonValue {
  try {
    return parseJson(source);
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    throw new InputError('SYNTAX', `The desired state is no JSON: ${problem}`, {
      cause,
      remedy: 'see docs/host-setup.md for an example',
    });
  }
}

/** @throws {InputError} `BAD_DESIRED_STATE` */
export function readDesiredState(value: JsonValue): DesiredState {
  const desired = DOCUMENT(value, '');
  const { kvmfr, early, vfio } = desired;
  if (kvmfr !== undefined && kvmfr.enabled !== false) {
    const sizes = [...(kvmfr.sizesMb ?? []), ...(kvmfr.resolutions ?? [])];
    if (kvmfr.sizesMb !== undefined && kvmfr.resolutions !== undefined) {
      throw bad('kvmfr', 'sizesMb or resolutions, not both');
    }
    if (sizes.length < 1 || sizes.length > MAX_KVMFR_DEVICES) {
      throw bad('kvmfr', `sizesMb or resolutions for 1 to ${MAX_KVMFR_DEVICES} devices`);
    }
  }
  if (vfio?.blacklist === true && (early ?? []).some(({ method }) => method !== 'none')) {
    throw bad('vfio.blacklist', 'false while `early` names devices for vfio-pci', true);
  }
  return desired;
}
