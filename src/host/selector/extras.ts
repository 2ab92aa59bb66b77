import { known, unknown, type Known } from '../../known.js';
import type { HostEffects } from '../effects.js';
import { attempt } from '../inventory/facts.js';
import { devicePath } from '../pci-function.js';
import { ifPresent, mapBounded, readAttribute } from '../reading.js';
import { chooseVfioModule } from '../variant.js';
import { functionOf, type Candidate } from './candidate.js';

type Values = Known<readonly string[] | undefined>;

/**
 * Fields that are read only when a selector has them, because there are too many, or because most hosts
 * need none of them.
 *
 * @returns by field, then by the candidate's name.
 */
export async function readExtras(
  effects: HostEffects,
  candidates: readonly Candidate[],
  fields: Iterable<string>,
): Promise<ReadonlyMap<string, ReadonlyMap<string, Values>>> {
  const extras = new Map<string, ReadonlyMap<string, Values>>();
  for (const field of fields) {
    const read = readerOf(effects, field);
    if (read === undefined) continue;
    const values = await mapBounded(candidates, 12, async (candidate) => {
      const value = await attempt(() => read(candidate));
      return [candidate.name, value.known ? value.value : value] as const;
    });
    extras.set(field, new Map(values));
  }
  return extras;
}

function readerOf(
  effects: HostEffects,
  field: string,
): ((candidate: Candidate) => Promise<Values>) | undefined {
  if (field.startsWith('attr.')) {
    const path = field.slice('attr.'.length);
    return (candidate) => readAttributeOf(effects, candidate, path);
  }
  if (field.startsWith('udev.')) {
    const property = field.slice('udev.'.length);
    return (candidate) => readUdev(effects, candidate, property);
  }
  if (field === 'variant') return (candidate) => readVariant(effects, candidate);
  return undefined;
}

const directoryOf = (candidate: Candidate) =>
  candidate.kind === 'pci' ? devicePath(candidate.name) : `/sys/bus/mdev/devices/${candidate.name}`;

/** No component but the device itself may be a link: `driver/...` or `subsystem/...` is not its own. */
async function readAttributeOf(
  effects: HostEffects,
  candidate: Candidate,
  path: string,
): Promise<Values> {
  const parts = path.split('/');
  let at = directoryOf(candidate);
  for (const part of parts) {
    at += `/${part}`;
    const stat = await ifPresent(effects.stat(at));
    if (stat === undefined) return known(undefined);
    if (stat.kind === 'link') return unknown(`${at} is a link out of the device`);
  }
  const text = await readAttribute(effects, at);
  return known(text === undefined ? undefined : [text.trim()]);
}

async function readVariant(effects: HostEffects, candidate: Candidate): Promise<Values> {
  const record = functionOf(candidate);
  if (record === undefined) return known(undefined);
  if (!record.modalias.known) return record.modalias;
  const module = await chooseVfioModule(effects, record.modalias.value);
  // Modules are spelled with `_`, and the directory of the plain driver is not.
  return known([...new Set([module, module.replaceAll('_', '-')])]);
}

const UDEV = '/run/udev/data';

/** Properties of the function, and of its disks and interfaces, from udev's own database. */
async function readUdev(
  effects: HostEffects,
  candidate: Candidate,
  property: string,
): Promise<Values> {
  if ((await ifPresent(effects.stat(UDEV))) === undefined) {
    return unknown(`udev keeps nothing here: there is no ${UDEV}`);
  }
  const files = await udevFiles(effects, candidate);
  const texts = await Promise.all(files.map((file) => ifPresent(effects.read(`${UDEV}/${file}`))));
  const values = texts.flatMap((text) =>
    (text ?? '')
      .split('\n')
      .filter((line) => line.startsWith(`E:${property}=`))
      .map((line) => line.slice(property.length + 3)),
  );
  return known(values.length === 0 ? undefined : [...new Set(values)]);
}

/** Names in the database: `+pci:BDF`, `n<ifindex>`, `b<major>:<minor>` (systemd device-util.c, 252). */
async function udevFiles(effects: HostEffects, candidate: Candidate): Promise<readonly string[]> {
  if (candidate.kind === 'mdev') return [`+mdev:${candidate.name}`];
  const { children } = candidate.record;
  const { net = [], block = [] } = children.known ? children.value : {};
  const indexes = await Promise.all(
    net.map((name) => readAttribute(effects, `/sys/class/net/${name}/ifindex`)),
  );
  const numbers = await Promise.all(
    block.map((name) => readAttribute(effects, `/sys/class/block/${name}/dev`)),
  );
  return [
    `+pci:${candidate.name}`,
    ...indexes.flatMap((index) => (/^\d+$/.test(index ?? '') ? `n${index}` : [])),
    ...numbers.flatMap((number) => (/^\d+:\d+$/.test(number ?? '') ? `b${number}` : [])),
  ];
}
