import { InputError, RefusedError } from '../../errors.js';
import { isJsonObject, parseJson, stringifyJson, type JsonValue } from '../../json.js';
import type { Candidate, CandidateSet } from './candidate.js';
import { readField } from './read-field.js';

/** What a device was when it was pinned; null where that was not known. */
export interface PinnedDevice {
  readonly bdf: string;
  readonly path: string | null;
  readonly id: string | null;
  readonly subsys: string | null;
  readonly serial: string | null;
  readonly slot: string | null;
  readonly group: string | null;
  /** Other members of the group with their drivers, `0000:01:00.1=snd_hda_intel`. */
  readonly members: readonly string[];
  readonly driver: string | null;
}

/** A lock file: the identity of devices, to be met again at every later use. */
export interface Pin {
  readonly selector: string;
  readonly selectorHash: string;
  /** ISO 8601. */
  readonly time: string;
  readonly devices: readonly PinnedDevice[];
}

/** Where the pinned devices are now. */
export interface PinOutcome {
  readonly names: readonly string[];
  /** What has changed and does not matter for identity. */
  readonly notes: readonly string[];
}

const VERSION = 1;
/** Identity: what the device is. Where it is has fields of its own. */
const IDENTITY = ['id', 'subsys'] as const;
export const PIN_FIELDS = ['bdf', 'path', 'id', 'subsys', 'serial', 'slot', 'group', 'driver'];

export function pinDevice(candidate: Candidate, set: CandidateSet): PinnedDevice {
  const value = (field: string) => certain(field, candidate, set);
  return {
    bdf: candidate.name,
    path: value('path'),
    id: value('id'),
    subsys: value('subsys'),
    serial: value('serial'),
    slot: value('slot'),
    group: value('group'),
    members: membersOf(candidate, set),
    driver: value('driver'),
  };
}

export function formatPin(pin: Pin): string {
  return `${stringifyJson({ qmplugPin: VERSION, ...pin } as unknown as JsonValue, 2)}\n`;
}

/** @throws {InputError} `SYNTAX` for a text that is no pin. */
export function parsePin(text: string, file: string): Pin {
  const value = readObject(text, file);
  const { qmplugPin, selector, selectorHash, time, devices } = value;
  const isWhole =
    qmplugPin === VERSION &&
    [selector, selectorHash, time].every((each) => typeof each === 'string') &&
    Array.isArray(devices) &&
    devices.length > 0 &&
    (devices as readonly JsonValue[]).every(isPinnedDevice);
  if (!isWhole) throw notPin(file, 'members are missing or of another kind');
  // Each member has just been checked.
  return { selector, selectorHash, time, devices } as unknown as Pin;
}

function readObject(text: string, file: string) {
  try {
    const value = parseJson(text);
    if (isJsonObject(value)) return value;
  } catch (cause) {
    throw notPin(file, 'it is no JSON', cause);
  }
  throw notPin(file, 'it is no JSON object');
}

function notPin(file: string, why: string, cause?: unknown): InputError {
  return new InputError('SYNTAX', `${file} is not a pin: ${why}`, {
    cause,
    remedy: 'make one: qmplug host pin SELECTOR -o FILE',
    details: { file },
  });
}

function isPinnedDevice(value: JsonValue): boolean {
  if (!isJsonObject(value) || typeof value.bdf !== 'string') return false;
  const texts = ['path', 'id', 'subsys', 'serial', 'slot', 'group', 'driver'];
  const { members } = value;
  return (
    texts.every((key) => value[key] === null || typeof value[key] === 'string') &&
    Array.isArray(members) &&
    (members as readonly JsonValue[]).every((each) => typeof each === 'string')
  );
}

/**
 * Meets the pinned devices again.
 *
 * @param follow takes a device where it has moved to.
 * @throws {RefusedError} `MOVED` where a device is at another address; `IDENTITY_CHANGED` where something else is
 * at its address, or nothing.
 */
export function checkPin(
  pin: Pin,
  set: CandidateSet,
  options: { readonly follow: boolean; readonly strictGroup: boolean },
): PinOutcome {
  const notes: string[] = [];
  const names = pin.devices.map((pinned) => {
    const { candidate, note } = findPinned(pinned, set, options.follow);
    if (note !== undefined) notes.push(note);
    notes.push(...changesOf(pinned, candidate, set, options.strictGroup));
    return candidate.name;
  });
  return { names, notes };
}

interface Found {
  readonly candidate: Candidate;
  readonly note: string | undefined;
}

function findPinned(pinned: PinnedDevice, set: CandidateSet, follow: boolean): Found {
  const there = set.candidates.find(({ name }) => name === pinned.bdf);
  const difference = there === undefined ? 'there is nothing' : differenceOf(pinned, there, set);
  if (there !== undefined && difference === undefined) {
    return { candidate: there, note: doubtOf(pinned, there, set) };
  }
  const elsewhere = findElsewhere(pinned, set);
  if (elsewhere === undefined) {
    throw new RefusedError(
      'IDENTITY_CHANGED',
      `${pinned.bdf} is not the device that was pinned: ${difference}`,
      {
        remedy: 'see what is there: qmplug devices; then pin anew, if that is the device to use',
        details: { pinned, now: there === undefined ? null : pinDevice(there, set) },
      },
    );
  }
  const { candidate, by } = elsewhere;
  if (!follow) {
    throw new RefusedError('MOVED', `${pinned.bdf} is at ${candidate.name} now (same ${by})`, {
      remedy: 'take it from there: --follow; or pin it anew',
      details: { pinned, now: pinDevice(candidate, set), by },
    });
  }
  return { candidate, note: `${pinned.bdf} has moved to ${candidate.name} (same ${by})` };
}

/** What tells the device from the pinned one; undefined where nothing does. */
function differenceOf(
  pinned: PinnedDevice,
  candidate: Candidate,
  set: CandidateSet,
): string | undefined {
  for (const field of IDENTITY) {
    const now = certain(field, candidate, set);
    if (pinned[field] !== now)
      return `${field} ${pinned[field] ?? 'unknown'} is ${now ?? 'unknown'}`;
  }
  const serials = serialsOf(candidate, set);
  const isOther = pinned.serial !== null && serials.length > 0 && !serials.includes(pinned.serial);
  return isOther ? `serial ${pinned.serial} is ${serials.join(', ')}` : undefined;
}

/** A serial number says most; without one on both sides the place on the buses must do. */
function findElsewhere(
  pinned: PinnedDevice,
  set: CandidateSet,
): { readonly candidate: Candidate; readonly by: string } | undefined {
  const same = set.candidates.filter(
    (candidate) =>
      candidate.name !== pinned.bdf && differenceOf(pinned, candidate, set) === undefined,
  );
  const bySerial = same.filter(
    (candidate) => pinned.serial !== null && serialsOf(candidate, set).includes(pinned.serial),
  );
  const [only, ...others] = bySerial;
  if (only !== undefined && others.length === 0) return { candidate: only, by: 'serial' };
  const byPath = same.find(
    (candidate) => pinned.path !== null && certain('path', candidate, set) === pinned.path,
  );
  return byPath === undefined ? undefined : { candidate: byPath, by: 'topology path' };
}

/** What is unknown proves nothing, and that is said. */
function doubtOf(
  pinned: PinnedDevice,
  candidate: Candidate,
  set: CandidateSet,
): string | undefined {
  if (pinned.serial !== null && serialsOf(candidate, set).includes(pinned.serial)) return undefined;
  return `${pinned.bdf}: no serial number to compare; it is taken for the same by address, ids and place`;
}

function changesOf(
  pinned: PinnedDevice,
  candidate: Candidate,
  set: CandidateSet,
  strict: boolean,
): readonly string[] {
  const group = certain('group', candidate, set);
  const members = membersOf(candidate, set);
  const notes: string[] = [];
  if (group !== pinned.group) {
    notes.push(
      `${candidate.name}: IOMMU group ${pinned.group ?? 'none'} is ${group ?? 'none'} now`,
    );
  }
  if (members.join() !== pinned.members.join()) {
    const change = `${candidate.name}: its IOMMU group held ${listed(pinned.members)}, and holds ${listed(members)} now`;
    if (strict) {
      throw new RefusedError('IDENTITY_CHANGED', change, {
        remedy: 'pin it anew, once that is as it should be',
        details: { pinned, members },
      });
    }
    notes.push(change);
  }
  return notes;
}

const listed = (members: readonly string[]) =>
  members.length === 0 ? 'nothing else' : members.join(', ');

function membersOf(candidate: Candidate, set: CandidateSet): readonly string[] {
  if (candidate.kind === 'mdev') return [];
  const { companions } = candidate.record;
  if (!companions.known) return [];
  return companions.value.group.map((bdf) => {
    const driver = set.records.get(bdf)?.driver;
    return `${bdf}=${driver?.known ? (driver.value ?? 'none') : 'unknown'}`;
  });
}

function serialsOf(candidate: Candidate, set: CandidateSet): readonly string[] {
  const reading = readField('serial', candidate, set);
  return reading.state === 'absent' ? [] : reading.texts;
}

function certain(field: string, candidate: Candidate, set: CandidateSet): string | null {
  const reading = readField(field, candidate, set);
  return reading.state === 'absent' ? null : (reading.texts[0] ?? null);
}
