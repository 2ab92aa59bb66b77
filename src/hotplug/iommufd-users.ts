import { CommandError } from '../qmp/failures.js';
import { childType, qomGetString, qomList } from '../qmp/qom-commands.js';
import type { QmpSession } from '../qmp/session.js';

/** Type of an object, undefined where QEMU has none of this id. @throws {QmpError} when QEMU does not tell. */
export async function objectType(session: QmpSession, id: string): Promise<string | undefined> {
  const entries = await qomList(session, '/objects');
  const entry = entries.find(({ name }) => name === id);
  return entry === undefined ? undefined : childType(entry);
}

const FOLDERS = ['/machine/peripheral', '/machine/peripheral-anon'];

/**
 * Paths of the devices that have their memory mapped through an iommufd object, as QEMU tells them: whoever added
 * them.
 *
 * @throws {QmpError} when QEMU does not tell.
 */
export async function iommufdUsers(session: QmpSession, id: string): Promise<readonly string[]> {
  const devices = (await Promise.all(FOLDERS.map((folder) => vfioIn(session, folder)))).flat();
  const links = await Promise.all(
    devices.map((path) => orUndefined(qomGetString(session, path, 'iommufd'))),
  );
  return devices.filter((_, index) => links[index] === `/objects/${id}`);
}

async function vfioIn(session: QmpSession, folder: string): Promise<readonly string[]> {
  // The folder of devices without an id is made with the first of them.
  const entries = (await orUndefined(qomList(session, folder))) ?? [];
  return entries
    .filter((entry) => childType(entry)?.startsWith('vfio-') === true)
    .map(({ name }) => `${folder}/${name}`);
}

/** Undefined for an object that left meanwhile, and for a type without the property. */
async function orUndefined<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    const isAbsent =
      error instanceof CommandError &&
      (error.failure.kind === 'path-not-found' || error.failure.kind === 'property-not-found');
    if (isAbsent) return undefined;
    throw error;
  }
}
