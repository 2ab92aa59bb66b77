import { canReadWrite, type ProcessCredentials } from '../host/credentials.js';
import type { HostStat } from '../host/effects.js';
import { ifPresent } from '../host/reading.js';
import { listAllows, parseAccessList } from './acl.js';
import type { HostReads } from './check.js';
import { seen, type Evidence } from './finding.js';

/** Whether a process can open a node to read and write. */
export interface NodeAccess {
  readonly kind: HostStat['kind'];
  /** `perhaps`: only its access control list can let the process in, and that could not be read. */
  readonly access: 'yes' | 'no' | 'perhaps';
  readonly read: Evidence;
}

const GETFACL = 'getfacl';

/** Undefined where there is no such node. @throws {HostIoError} */
export async function readAccess(
  { effects, setup }: Pick<HostReads, 'effects' | 'setup'>,
  node: string,
  who: ProcessCredentials,
): Promise<NodeAccess | undefined> {
  const stat = await ifPresent(effects.stat(node));
  if (stat === undefined) return undefined;
  const { kind } = stat;
  const read = seen(node, describeNode(stat));
  if (canReadWrite(who, stat)) return { kind, access: 'yes', read };
  // Where there is a list, the group's bits are its mask (acl(5)): what that keeps out no entry lets in.
  if (who.uid === stat.uid || (stat.mode & 0o060) !== 0o060) return { kind, access: 'no', read };
  const list = await readList(setup, node);
  if (list === undefined) return { kind, access: 'perhaps', read };
  const access = listAllows(list, who) ? 'yes' : 'no';
  return { kind, access, read: seen(node, `${describeNode(stat)}, access control list read`) };
}

async function readList(setup: HostReads['setup'], node: string) {
  const program = await setup?.findProgram(GETFACL);
  if (setup === undefined || program === undefined) return undefined;
  const argv = [program, '--numeric', '--absolute-names', '--', node];
  const { status, stdout } = await setup.run(argv, { deadlineMs: 10_000 });
  return status === 0 ? parseAccessList(stdout) : undefined;
}

/** `uid 0, gid 104, mode 660`. */
export function describeNode({ uid, gid, mode }: HostStat): string {
  return `uid ${uid}, gid ${gid}, mode ${mode.toString(8)}`;
}
