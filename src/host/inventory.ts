import { HostError } from '../errors.js';
import type { Known } from '../known.js';
import { compareBdf, type Bdf } from '../pci/pci-address.js';
import { readCdev } from './cdev.js';
import { readChildren } from './children.js';
import { isBdfName } from './class-devices.js';
import type { HostEffects } from './effects.js';
import { findUses } from './guards/index.js';
import { readGroupHolders } from './holders.js';
import { readOpenFiles, type OpenFiles } from './open-files.js';
import { listFunctions, readFunction } from './pci-function.js';
import { readBootId } from './process.js';
import { isMdevUuid } from './mdev-name.js';
import { hostFailure, listOrNone, mapBounded } from './reading.js';
import type { HostDevice, HostSnapshot, IommuGroup, UseFinding, VfioHolder } from './types.js';

export interface SnapshotOptions {
  /** Functions whose use by the host is looked into. */
  readonly uses?: readonly Bdf[] | undefined;
  /** Groups whose holders are looked for. */
  readonly holders?: readonly number[] | undefined;
  /** QEMU of the VM in question: what it holds itself is no foreign use. */
  readonly vmPid?: number | undefined;
}

/** About 20 files are open per function. */
const FUNCTIONS_AT_ONCE = 12;

/**
 * Looks at the host once. Absent attributes are normal; what was asked for and could not be read is
 * unknown or a finding of its own, so that a plan is never made on a guess.
 *
 * @throws {HostError} `HOST_UNREADABLE` when sysfs or the boot ID cannot be read at all.
 */
export async function readHostSnapshot(
  effects: HostEffects,
  options: SnapshotOptions = {},
): Promise<HostSnapshot> {
  const [bootId, devices, groups] = await Promise.all([
    readBootId(effects).catch((error: unknown) => {
      throw hostFailure('the host', error, 'HOST_UNREADABLE');
    }),
    readDevices(effects),
    readGroups(effects),
  ]);
  const seen = { bootId, devices, groups, uses: new Map(), holders: new Map() };
  return lookCloser(effects, seen, options);
}

/** The same host with the uses and holders that are asked for; the devices are not read again. */
export async function lookCloser(
  effects: HostEffects,
  seen: HostSnapshot,
  { uses = [], holders = [], vmPid }: SnapshotOptions,
): Promise<HostSnapshot> {
  const { devices, groups } = seen;
  const files = uses.length + holders.length > 0 ? await readOpenFiles(effects) : undefined;
  return {
    ...seen,
    uses: await readUses(effects, { uses, devices, files, vmPid }),
    holders: await readAllHolders(effects, { holders, devices, groups, files }),
  };
}

/**
 * Every PCI function in numeric order. One that vanishes while it is read is left out, and so is one that
 * cannot be read: nothing is planned with it, its group counts as not viable, and the others are as usable as
 * ever. `readRecords` tells what is wrong with it.
 */
export async function readDevices(effects: HostEffects): Promise<ReadonlyMap<Bdf, HostDevice>> {
  const children = await readChildren(effects);
  const devices = await mapBounded(await listFunctions(effects), FUNCTIONS_AT_ONCE, (bdf) =>
    readFunction(effects, bdf, children.get(bdf)).catch((error: unknown) => {
      if (error instanceof HostError) return undefined;
      throw error;
    }),
  );
  return new Map(
    devices.filter((device) => device !== undefined).map((device) => [device.bdf, device]),
  );
}

/** Every IOMMU group by ascending number; empty without an IOMMU. */
export async function readGroups(effects: HostEffects): Promise<ReadonlyMap<number, IommuGroup>> {
  const names = await listOrNone(effects, '/sys/kernel/iommu_groups');
  const numbers = names
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .sort((a, b) => a - b);
  const groups = await mapBounded(numbers, 32, async (id): Promise<IommuGroup> => {
    const entries = await listOrNone(effects, `/sys/kernel/iommu_groups/${id}/devices`);
    return {
      id,
      members: entries.filter(isBdfName).sort(compareBdf),
      others: entries.filter((name) => !isBdfName(name)).sort(),
    };
  });
  return new Map(groups.map((group) => [group.id, group]));
}

async function readUses(
  effects: HostEffects,
  asked: {
    uses: readonly Bdf[];
    devices: ReadonlyMap<Bdf, HostDevice>;
    files: OpenFiles | undefined;
    vmPid: number | undefined;
  },
): Promise<ReadonlyMap<Bdf, readonly UseFinding[]>> {
  const { uses, devices, files, vmPid } = asked;
  if (uses.length === 0) return new Map();
  return findUses(effects, uses, { devices, files, vmPid });
}

async function readAllHolders(
  effects: HostEffects,
  asked: {
    holders: readonly number[];
    devices: ReadonlyMap<Bdf, HostDevice>;
    groups: ReadonlyMap<number, IommuGroup>;
    files: OpenFiles | undefined;
  },
): Promise<ReadonlyMap<number, Known<readonly VfioHolder[]>>> {
  const { holders, devices, groups, files } = asked;
  const answers = new Map<number, Known<readonly VfioHolder[]>>();
  for (const group of holders) {
    const cdevs = await cdevsOf(effects, groups.get(group), devices);
    const options = files === undefined ? { cdevs } : { cdevs, files };
    answers.set(group, await readGroupHolders(effects, group, options));
  }
  return answers;
}

async function cdevsOf(
  effects: HostEffects,
  group: IommuGroup | undefined,
  devices: ReadonlyMap<Bdf, HostDevice>,
): Promise<readonly string[]> {
  const functions = (group?.members ?? []).map((bdf) => devices.get(bdf)?.vfioCdev);
  const mdevs = (group?.others ?? []).filter(isMdevUuid);
  const others = await Promise.all(mdevs.map((uuid) => readCdev(effects, uuid)));
  return [...functions, ...others].filter((name) => name !== undefined);
}
