import { canReadWrite, isAboveModes, type ProcessCredentials } from './credentials.js';
import {
  HostIoError,
  type AccessList,
  type HostEffects,
  type HostStat,
  type Permissions,
} from './effects.js';

/**
 * Reads what `getfacl --skip-base --numeric` prints: an entry a line, `user:64055:rw-`, and nothing where the mode
 * says it all.
 *
 * @returns undefined for a list that only says what the mode does, or that cannot be understood.
 */
export function parseAccessList(text: string): AccessList | undefined {
  const users = new Map<number, Permissions>();
  const groups = new Map<number, Permissions>();
  let group: Permissions | undefined;
  for (const line of text.split('\n')) {
    const [, kind, id = '', bits = ''] = /^(user|group):(\d*):([r-][w-][x-])/.exec(line) ?? [];
    const permissions = { read: bits.startsWith('r'), write: bits[1] === 'w' };
    if (kind === 'user' && id !== '') users.set(Number(id), permissions);
    if (kind === 'group' && id !== '') groups.set(Number(id), permissions);
    if (kind === 'group' && id === '') group = permissions;
  }
  return group === undefined ? undefined : { users, group, groups };
}

/** `perhaps`: there may be an access control list, and nothing here can read it. */
export type Access = 'yes' | 'no' | 'perhaps';

/** Whether a process can open a node to read and write, by mode and access control list. */
export async function accessTo(
  effects: HostEffects,
  { path, stat }: { readonly path: string; readonly stat: HostStat },
  who: ProcessCredentials,
): Promise<Access> {
  const byMode = canReadWrite(who, stat) ? 'yes' : 'no';
  // What is open to everyone, as the kernel makes VFIO's container, is not closed to one by a list in practice.
  if ((stat.mode & 0o066) === 0o066) return byMode;
  // Without anything in the place of the group there is no mask either, so no entry could permit anything.
  if (isAboveModes(who) || who.uid === stat.uid || (stat.mode & 0o070) === 0) return byMode;
  try {
    const list = await effects.readAcl(path);
    return list === undefined ? byMode : judge(list, stat, who);
  } catch (error) {
    if (!(error instanceof HostIoError)) throw error;
    return byMode === 'no' && (stat.mode & 0o060) === 0o060 ? 'perhaps' : byMode;
  }
}

/** The algorithm of acl(5) for one who is not the owner. */
function judge(list: AccessList, { gid, mode }: HostStat, who: ProcessCredentials): Access {
  const isMaskOpen = (mode & 0o060) === 0o060;
  const isOpen = ({ read, write }: Permissions) => read && write;
  const user = list.users.get(who.uid);
  if (user !== undefined) return isOpen(user) && isMaskOpen ? 'yes' : 'no';
  const mine = new Set([who.gid, ...who.groups]);
  const entries = [
    ...(mine.has(gid) ? [list.group] : []),
    ...[...list.groups].filter(([id]) => mine.has(id)).map(([, permissions]) => permissions),
  ];
  if (entries.length > 0) return entries.some(isOpen) && isMaskOpen ? 'yes' : 'no';
  return (mode & 0o006) === 0o006 ? 'yes' : 'no';
}
