import { formatSize } from '../../pci/size.js';
import { known, type Known } from '../../known.js';
import { mapKnown } from '../inventory/facts.js';
import type { PciNames } from '../inventory/pci-ids.js';
import type { DeviceRecord } from '../inventory/record.js';
import { rootOf, topologyPathOf, upstreamOf } from '../inventory/topology-path.js';
import { functionOf, reservationKeyOf, type Candidate, type CandidateSet } from './candidate.js';
import { CLASS_NAMES } from './fields.js';

/**
 * The values a field has for one candidate.
 *
 * - `present`: any of the texts is the value, in lower case; several where the field has several.
 * - `absent`: the device has no such thing. `word` is how a selector may say so.
 * - `unknown`: it could not be read, or not in full; what is in `texts` is certain.
 */
export type FieldReading =
  | {
      readonly state: 'present';
      readonly texts: readonly string[];
      readonly numbers: readonly number[];
      /** Why its name is not among the texts; undefined where it is, or where it has none. */
      readonly nameless?: string | undefined;
    }
  | { readonly state: 'absent'; readonly word: string | undefined }
  | { readonly state: 'unknown'; readonly reason: string; readonly texts: readonly string[] };

const NVIDIA = 0x10de;

/** What the snapshot knows of a field of a candidate. */
export function readField(field: string, candidate: Candidate, set: CandidateSet): FieldReading {
  switch (field) {
    case 'bdf':
      return candidate.kind === 'pci' ? texts([candidate.name]) : absent();
    case 'kind':
      return texts([candidate.kind]);
    case 'uuid':
      return candidate.kind === 'mdev' ? texts([candidate.name]) : absent();
    case 'in-use':
      return readUse(candidate, set);
    case 'reserved-by':
      return readReservation(candidate, set);
    case 'driver':
      return optional(candidate.record.driver, 'none');
    case 'group':
      return number(candidate.record.iommuGroup, 'none');
    case 'mdev-type':
      return readMdevType(candidate);
    case 'numa':
      return readNuma(candidate, set);
    default: {
      const extra = set.extras.get(field)?.get(candidate.name);
      if (extra !== undefined) return several(extra);
      const record = functionOf(candidate);
      if (record === undefined) return absent();
      return readOfFunction(field, record, candidate, set);
    }
  }
}

/** Fields that a mediated device shares with the function it is a part of. */
function readOfFunction(
  field: string,
  record: DeviceRecord,
  candidate: Candidate,
  set: CandidateSet,
): FieldReading {
  const { names } = set;
  const { vendorId, deviceId } = record;
  switch (field) {
    case 'domain':
      return hex(known(parseInt(record.bdf, 16)), 4);
    case 'bus':
      return hex(known(addressPart(record, 1)), 2);
    case 'slotno':
      return hex(known(addressPart(record, 2)), 2);
    case 'fn':
      return hex(known(addressPart(record, 3)), 1);
    case 'vendor':
      return withName(
        hex(vendorId, 4),
        names,
        vendorId.known ? names?.vendor(vendorId.value) : undefined,
      );
    case 'device': {
      const isKnown = vendorId.known && deviceId.known;
      const name = isKnown ? names?.device(vendorId.value, deviceId.value) : undefined;
      return withName(hex(deviceId, 4), names, name);
    }
    case 'id':
      return pair(record.vendorId, record.deviceId);
    case 'subvendor':
      return hex(record.subsystemVendorId, 4);
    case 'subdevice':
      return hex(record.subsystemDeviceId, 4);
    case 'subsys':
      return pair(record.subsystemVendorId, record.subsystemDeviceId);
    case 'revision':
      return hex(record.revision, 2);
    case 'progif':
      return hex(
        mapKnown(record.classCode, (code) => code & 0xff),
        2,
      );
    case 'class':
      return readClass(record);
    case 'override':
      return optional(record.driverOverride, 'none');
    case 'module':
      return optional(record.module);
    case 'socket':
      return number(record.socket);
    case 'root':
      return optional(mapKnown(record.path, rootOf));
    case 'parent':
      return optional(mapKnown(record.path, (path) => upstreamOf(path).at(-1)));
    case 'upstream':
      return several(mapKnown(record.path, upstreamOf));
    case 'path':
      return optional(mapKnown(record.path, topologyPathOf));
    case 'group-size':
      return readGroupSize(candidate, record);
    case 'slot':
      return optional(record.slot);
    case 'label':
      return optional(record.label);
    case 'acpi-index':
      return number(record.acpiIndex);
    case 'serial':
      return readSerial(record);
    case 'name':
      return several(
        mapKnown(record.children, ({ net = [], block = [], drm = [] }) => [
          ...net,
          ...block,
          ...drm,
        ]),
      );
    case 'sriov':
      return list(mapKnown(record.sriov, ({ role }) => [role]));
    case 'vf-index':
      return number(mapKnown(record.sriov, ({ index }) => index));
    case 'vfs':
      return number(
        mapKnown(record.sriov, ({ role, vfs }) => (role === 'pf' ? vfs.length : undefined)),
      );
    case 'available':
      return readAvailable(record, undefined);
    case 'reset':
      return several(record.resetMethods);
    case 'link-speed':
      return number(mapKnown(record.maxLink, ({ speed }) => speed));
    case 'link-width':
      return number(mapKnown(record.maxLink, ({ width }) => width));
    case 'bar':
      return size(
        mapKnown(record.bars, (bars) =>
          bars
            .filter(({ kind }) => kind !== 'rom')
            .map(({ sizeBytes }) => sizeBytes)
            .reduce<bigint | undefined>(
              (most, each) => (most === undefined || each > most ? each : most),
              undefined,
            ),
        ),
      );
    case 'boot-vga':
      return list(mapKnown(record.bootVga, (is) => [String(is)]));
    default: {
      const bar = /^bar([0-5])$/.exec(field)?.[1];
      if (bar !== undefined) {
        return size(
          mapKnown(
            record.bars,
            (bars) => bars.find(({ index }) => index === Number(bar))?.sizeBytes,
          ),
        );
      }
      const type = /^available\.(.+)$/.exec(field)?.[1];
      if (type !== undefined) return readAvailable(record, type);
      return missing(`${field} was not read`);
    }
  }
}

function readUse({ kind, name }: Candidate, { uses }: CandidateSet): FieldReading {
  if (kind === 'mdev') return missing('use is looked into for PCI functions only');
  const findings = uses.get(name);
  if (findings === undefined) return missing('its use was not looked into');
  const unread = findings.find(({ reason }) => reason.startsWith('unreadable.'));
  if (
    findings.some(({ level, reason }) => level === 'block' && !reason.startsWith('unreadable.'))
  ) {
    return texts(['block']);
  }
  if (unread !== undefined) return missing(unread.evidence);
  return texts([findings.length === 0 ? 'free' : 'warn']);
}

function readReservation(candidate: Candidate, set: CandidateSet): FieldReading {
  const { reservations, holds } = set;
  const key = reservationKeyOf(candidate);
  if (!key.known) return missing(key.reason);
  if (key.value === undefined) return absent('none');
  if (!reservations.known) return missing(reservations.reason);
  if (!holds.known) return missing(holds.reason);
  const owners = [reservations.value.get(key.value)?.scope, holds.value.get(key.value)?.owner];
  const names = owners.filter((owner) => owner !== undefined);
  return names.length === 0 ? absent('none') : texts(names);
}

function readMdevType(candidate: Candidate): FieldReading {
  if (candidate.kind === 'mdev') {
    const { type, typeName } = candidate.record;
    if (!type.known) return missing(type.reason);
    if (type.value === undefined) return absent();
    return texts([type.value, ...(typeName.known ? (typeName.value ?? []) : [])].flat());
  }
  return several(
    mapKnown(candidate.record.mdevTypes, (types) =>
      types.flatMap(({ id, name }) => (name === undefined ? [id] : [id, name])),
    ),
  );
}

function readAvailable({ mdevTypes }: DeviceRecord, type: string | undefined): FieldReading {
  if (!mdevTypes.known) return missing(mdevTypes.reason);
  const types = mdevTypes.value.filter(({ id }) => type === undefined || id === type);
  const counts = types.flatMap(({ available }) => (available.known ? available.value : []));
  const unread = types.find(({ available }) => !available.known);
  if (unread !== undefined) return missing(`available_instances of ${unread.id} was not read`);
  return counts.length === 0 ? absent() : number(known(Math.max(...counts)));
}

function readNuma(candidate: Candidate, { vmNodes }: CandidateSet): FieldReading {
  const record = functionOf(candidate);
  if (record === undefined) return absent();
  const reading = number(record.numaNode);
  if (reading.state !== 'present' || vmNodes === undefined) return reading;
  const isNear = reading.numbers.some((node) => vmNodes.includes(node));
  return isNear ? { ...reading, texts: [...reading.texts, 'near'] } : reading;
}

function readClass({ classCode, vendorId }: DeviceRecord): FieldReading {
  if (!classCode.known) return missing(classCode.reason);
  const digits = classCode.value.toString(16).padStart(6, '0');
  const named = Object.entries(CLASS_NAMES)
    .filter(([, prefixes]) => prefixes.some((prefix) => digits.startsWith(prefix)))
    .map(([name]) => name)
    .filter((name) => name !== 'nvswitch' || (vendorId.known && vendorId.value === NVIDIA));
  return texts([digits, digits.slice(0, 4), digits.slice(0, 2), ...named]);
}

function readGroupSize(candidate: Candidate, record: DeviceRecord): FieldReading {
  if (candidate.kind === 'mdev') return texts(['1'], [1]);
  const { iommuGroup, companions } = record;
  if (!iommuGroup.known) return missing(iommuGroup.reason);
  if (iommuGroup.value === undefined) return absent();
  return number(mapKnown(companions, ({ group }) => group.length + 1));
}

function readSerial({ serials }: DeviceRecord): FieldReading {
  if (!serials.known) return missing(serials.reason);
  const { found, unread } = serials.value;
  const values = found.map(({ value }) => value.toLowerCase());
  if (unread !== undefined) return { state: 'unknown', reason: unread, texts: values };
  return values.length === 0 ? absent() : texts(values);
}

const absent = (word?: string): FieldReading => ({ state: 'absent', word });
const missing = (reason: string): FieldReading => ({ state: 'unknown', reason, texts: [] });

function texts(values: readonly string[], numbers: readonly number[] = []): FieldReading {
  return { state: 'present', texts: values.map((value) => value.toLowerCase()), numbers };
}

function list(fact: Known<readonly string[]>): FieldReading {
  return fact.known ? texts(fact.value) : missing(fact.reason);
}

function several(fact: Known<readonly string[] | undefined>): FieldReading {
  if (!fact.known) return missing(fact.reason);
  if (fact.value === undefined || fact.value.length === 0) return absent();
  const numbers = fact.value.flatMap((text) => {
    const value = /^-?(?:0x[0-9a-f]+|\d+(?:\.\d+)?)$/i.test(text) ? Number(text) : NaN;
    return Number.isNaN(value) ? [] : value;
  });
  return texts(fact.value, numbers);
}

function optional(fact: Known<string | undefined>, word?: string): FieldReading {
  if (!fact.known) return missing(fact.reason);
  return fact.value === undefined ? absent(word) : texts([fact.value]);
}

function number(fact: Known<number | undefined>, word?: string): FieldReading {
  if (!fact.known) return missing(fact.reason);
  return fact.value === undefined ? absent(word) : texts([String(fact.value)], [fact.value]);
}

function hex(fact: Known<number | undefined>, width: number): FieldReading {
  if (!fact.known) return missing(fact.reason);
  if (fact.value === undefined) return absent();
  return texts([fact.value.toString(16).padStart(width, '0')], [fact.value]);
}

function size(fact: Known<bigint | undefined>): FieldReading {
  if (!fact.known) return missing(fact.reason);
  if (fact.value === undefined) return absent();
  return texts([formatSize(fact.value)], [Number(fact.value)]);
}

function pair(first: Known<number | undefined>, second: Known<number | undefined>): FieldReading {
  const [left, right] = [hex(first, 4), hex(second, 4)];
  if (left.state !== 'present') return left;
  if (right.state !== 'present') return right;
  return texts([`${left.texts[0]}:${right.texts[0]}`]);
}

/** A named field goes by its id as well as by its name. */
function withName(
  reading: FieldReading,
  names: PciNames | undefined,
  name: string | undefined,
): FieldReading {
  if (reading.state !== 'present') return reading;
  if (names === undefined) return { ...reading, nameless: 'no pci.ids list is installed' };
  return name === undefined
    ? reading
    : { ...reading, texts: [...reading.texts, name.toLowerCase()] };
}

function addressPart({ bdf }: DeviceRecord, part: 1 | 2 | 3): number {
  return parseInt(bdf.split(/[:.]/)[part] ?? '', 16);
}
