import { accessTo, type Access } from '../host/access-list.js';
import type { ProcessCredentials } from '../host/credentials.js';
import type { HostEffects, HostStat } from '../host/effects.js';
import { ifPresent } from '../host/reading.js';
import { seen, type Evidence } from './finding.js';

/** Whether a process can open a node to read and write. */
export interface NodeAccess {
  readonly kind: HostStat['kind'];
  readonly access: Access;
  readonly read: Evidence;
}

/** Undefined where there is no such node. @throws {HostIoError} */
export async function readAccess(
  { effects }: { readonly effects: HostEffects },
  node: string,
  who: ProcessCredentials,
): Promise<NodeAccess | undefined> {
  const stat = await ifPresent(effects.stat(node));
  if (stat === undefined) return undefined;
  const access = await accessTo(effects, { path: node, stat }, who);
  return { kind: stat.kind, access, read: seen(node, describeNode(stat)) };
}

/** `uid 0, gid 104, mode 660`. */
export function describeNode({ uid, gid, mode }: HostStat): string {
  return `uid ${uid}, gid ${gid}, mode ${mode.toString(8)}`;
}
