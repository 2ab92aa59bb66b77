import type { ProcessCredentials } from '../host/credentials.js';

/** An access control list, numbers for names, as `getfacl --numeric` prints it. */
export interface AccessList {
  readonly owner: number;
  readonly group: number;
  readonly entries: readonly AccessEntry[];
}

interface AccessEntry {
  readonly kind: 'user' | 'group' | 'mask' | 'other';
  /** Undefined for the owner and the owning group. */
  readonly id: number | undefined;
  /** Both of `r` and `w`. */
  readonly canReadWrite: boolean;
}

/** Undefined for a text that is no access control list. */
export function parseAccessList(text: string): AccessList | undefined {
  const number = (name: string) => new RegExp(`^# ${name}: (\\d+)$`, 'm').exec(text)?.[1];
  const [owner, group] = [number('owner'), number('group')];
  if (owner === undefined || group === undefined) return undefined;
  const entries = [...text.matchAll(/^(user|group|mask|other):(\d*):(r|-)(w|-)[x-]/gm)].map(
    ([, kind, id, read, write]): AccessEntry => ({
      // The expression lets no other word through.
      kind: kind as AccessEntry['kind'],
      id: id === '' ? undefined : Number(id),
      canReadWrite: read === 'r' && write === 'w',
    }),
  );
  return { owner: Number(owner), group: Number(group), entries };
}

/** Whether the list lets a process read and write: the order of acl(5), "access check algorithm". */
export function listAllows(list: AccessList, who: ProcessCredentials): boolean {
  const of = (kind: AccessEntry['kind']) => list.entries.filter((entry) => entry.kind === kind);
  const allows = (entries: readonly AccessEntry[]) => entries.some((each) => each.canReadWrite);
  if (who.uid === list.owner) return allows(of('user').filter(({ id }) => id === undefined));
  const mask = of('mask');
  const passesMask = mask.length === 0 || allows(mask);
  const named = of('user').filter(({ id }) => id === who.uid);
  if (named.length > 0) return passesMask && allows(named);
  const mine = new Set([who.gid, ...who.groups]);
  const groups = of('group').filter(({ id }) => mine.has(id ?? list.group));
  if (groups.length > 0) return passesMask && allows(groups);
  return allows(of('other'));
}
