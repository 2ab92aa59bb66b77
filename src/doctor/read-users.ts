import type { HostEffects } from '../host/effects.js';

/** Ids below are the system's: systemd's default of SYSTEM_UID_MAX and SYSTEM_GID_MAX is 999. */
export const FIRST_USER = 1000;

/** Ids by name: field 3 of passwd(5) and of group(5). @throws {HostIoError} */
export async function readIds(
  effects: HostEffects,
  path: '/etc/passwd' | '/etc/group',
): Promise<ReadonlyMap<string, number>> {
  const text = await effects.read(path);
  return new Map(
    text.split('\n').flatMap((line) => {
      const [name = '', , id = ''] = line.split(':');
      return /^\d+$/.test(id) ? [[name, Number(id)] as const] : [];
    }),
  );
}

/** The groups that a user gets at login, as the host's own files tell; -1 where they do not know the user. */
export async function readGroupsOf(
  effects: HostEffects,
  uid: number,
): Promise<{ readonly gid: number; readonly groups: readonly number[] }> {
  const users = (await effects.read('/etc/passwd')).split('\n').map((line) => line.split(':'));
  const [name, , , gid] = users.find((fields) => fields[2] === String(uid)) ?? [];
  const groups = (await effects.read('/etc/group')).split('\n').flatMap((line) => {
    const [, , id = '', members = ''] = line.split(':');
    return name !== undefined && members.split(',').includes(name) ? [Number(id)] : [];
  });
  return { gid: Number(gid ?? -1), groups };
}
