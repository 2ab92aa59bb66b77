import { compareBdf, type Bdf } from '../../pci/pci-address.js';
import { unknown, type Known } from '../../known.js';
import { pciFunctionsOn } from '../class-devices.js';
import type { HostEffects } from '../effects.js';
import { listOrNone, mapBounded, readAttribute, readLinkName } from '../reading.js';
import { attempt, mapKnown } from './facts.js';
import type { MdevRecord, MdevType } from './record.js';

export const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const DEVICES = '/sys/bus/mdev/devices';

/** Types that the parent whose directory it is offers, by id. */
export async function readMdevTypes(
  effects: HostEffects,
  directory: string,
): Promise<readonly MdevType[]> {
  const types = `${directory}/mdev_supported_types`;
  const ids = [...(await listOrNone(effects, types))].sort();
  return Promise.all(
    ids.map(async (id): Promise<MdevType> => {
      const available = await attempt(() =>
        readAttribute(effects, `${types}/${id}/available_instances`),
      );
      return {
        id,
        name: (await readAttribute(effects, `${types}/${id}/name`))?.trim() || undefined,
        available:
          available.known && !/^\d+$/.test(available.value ?? '')
            ? unknown('available_instances cannot be understood')
            : mapKnown(available, Number),
        deviceApi: await readAttribute(effects, `${types}/${id}/device_api`),
      };
    }),
  );
}

/** Mediated devices are directories of their parent. */
export function readMdevUuids(entries: readonly string[]): readonly string[] {
  return entries.filter((name) => UUID.test(name)).sort();
}

/** Every mediated device of the host, by its parent's address and then by UUID. */
export async function readMdevs(effects: HostEffects): Promise<ReadonlyMap<string, MdevRecord>> {
  const uuids = (await listOrNone(effects, DEVICES)).filter((name) => UUID.test(name));
  const records = await mapBounded(uuids, 32, (uuid) => readMdev(effects, uuid));
  return new Map([...records].sort(compareMdevs).map((record) => [record.uuid, record]));
}

async function readMdev(effects: HostEffects, uuid: string): Promise<MdevRecord> {
  const directory = `${DEVICES}/${uuid}`;
  const link = (name: string) => attempt(() => readLinkName(effects, `${directory}/${name}`));
  const place = await attempt(() => effects.readlink(directory));
  return {
    uuid,
    parent: mapKnown(place, (path) => pciFunctionsOn(path).at(-1)),
    type: await link('mdev_type'),
    typeName: await attempt(async () =>
      (await readAttribute(effects, `${directory}/mdev_type/name`))?.trim(),
    ),
    driver: await link('driver'),
    iommuGroup: mapKnown(await link('iommu_group'), (name) =>
      name !== undefined && /^\d+$/.test(name) ? Number(name) : undefined,
    ),
  };
}

/** Those without a PCI parent come last. */
export function compareMdevs(a: MdevRecord, b: MdevRecord): number {
  const [left, right] = [parentOf(a.parent), parentOf(b.parent)];
  if (left !== undefined && right !== undefined && left !== right) return compareBdf(left, right);
  if ((left === undefined) !== (right === undefined)) return left === undefined ? 1 : -1;
  return a.uuid < b.uuid ? -1 : Number(a.uuid > b.uuid);
}

const parentOf = (parent: Known<Bdf | undefined>) => (parent.known ? parent.value : undefined);
