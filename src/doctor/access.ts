import { canReadWrite, type ProcessCredentials } from '../host/credentials.js';
import type { HostStat } from '../host/effects.js';

/**
 * Whether a process can open a node to read and write. Where there is an access control list, the group's bits
 * are its mask (acl(5)): a list can let nobody in whom the mask keeps out, and else it may.
 */
export function accessTo(node: HostStat, who: ProcessCredentials): 'yes' | 'no' | 'perhaps' {
  if (canReadWrite(who, node)) return 'yes';
  return who.uid !== node.uid && (node.mode & 0o060) === 0o060 ? 'perhaps' : 'no';
}

/** `uid 0, gid 104, mode 660`. */
export function describeNode({ uid, gid, mode }: HostStat): string {
  return `uid ${uid}, gid ${gid}, mode ${mode.toString(8)}`;
}
