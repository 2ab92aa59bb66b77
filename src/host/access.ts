import { HostError, HostNotReadyError } from '../errors.js';
import { accessTo } from './access-list.js';
import { IOMMU_NODE } from './cdev.js';
import { canReadWrite, type ProcessCredentials } from './credentials.js';
import type { HostEffects, HostStat } from './effects.js';
import { hostFailure, ifPresent } from './reading.js';

/** Owner and mode of a device node before we touched it. Plain JSON. */
export interface AccessRecord {
  readonly node: string;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
  /** Which node it was: one made later under the same name has the kernel's own settings. */
  readonly inode: string;
}

/**
 * Notes owner and mode of a group node or cdev. To be kept before the grant.
 *
 * @throws {HostError} `HOST_UNREADABLE` when there is no such node.
 */
export async function recordAccess(effects: HostEffects, node: string): Promise<AccessRecord> {
  const { uid, gid, mode, inode } = await requireNode(effects, node);
  return { node, uid, gid, mode, inode: String(inode) };
}

/**
 * Lets a process open the node: makes it the owner, with read and write. Nothing is changed where
 * the process can open it already, by its mode or its access control list. The node comes anew with every
 * bind, and so does this.
 *
 * @throws {HostError} `HOST_UNREADABLE`, `HOST_IO`.
 */
export async function grantAccess(
  effects: HostEffects,
  node: string,
  who: ProcessCredentials,
): Promise<'granted' | 'already'> {
  const before = await requireNode(effects, node);
  if ((await accessTo(effects, { path: node, stat: before }, who)) === 'yes') return 'already';
  await change(effects, node, { uid: who.uid, gid: who.gid, mode: before.mode | 0o600 }, before);
  const after = await requireNode(effects, node);
  if ((await accessTo(effects, { path: node, stat: after }, who)) === 'yes') return 'granted';
  throw new HostError('HOST_IO', `${node}: still closed to uid ${who.uid} after the grant`, {
    remedy: `ls -l ${node}; a read-only /dev or a user namespace without that id`,
    details: { node, uid: who.uid, gid: who.gid },
  });
}

/** Gives the node back as recorded. `gone`: that very node no longer exists. */
export async function restoreAccess(
  effects: HostEffects,
  record: AccessRecord,
): Promise<'restored' | 'already' | 'gone'> {
  const { node, uid, gid, mode } = record;
  const before = await ifPresent(effects.stat(node)).catch((error: unknown) => {
    throw hostFailure(node, error, 'HOST_UNREADABLE');
  });
  if (before === undefined || String(before.inode) !== record.inode) return 'gone';
  if (before.uid === uid && before.gid === gid && before.mode === mode) return 'already';
  await change(effects, node, { uid, gid, mode }, before);
  return 'restored';
}

/** The node through which every VFIO container is made; the kernel makes it for everyone. */
const CONTAINER = '/dev/vfio/vfio';

/**
 * Whether a process can open the container's node. One made statically before the module was loaded can be
 * root's alone. It serves every VM of the host, so its mode is for the operator to set.
 *
 * @throws {HostNotReadyError} `DENIED`. @throws {HostError} `HOST_UNREADABLE`
 */
export async function requireContainer(
  effects: HostEffects,
  who: ProcessCredentials,
): Promise<void> {
  const stat = await ifPresent(effects.stat(CONTAINER)).catch((error: unknown) => {
    throw hostFailure(CONTAINER, error, 'HOST_UNREADABLE');
  });
  // Absent until the module is loaded, which the kernel then makes with its own mode.
  if (stat === undefined) return;
  if ((await accessTo(effects, { path: CONTAINER, stat }, who)) === 'yes') return;
  throw new HostNotReadyError(
    'DENIED',
    `${CONTAINER} is closed to QEMU, which runs as uid ${who.uid}`,
    {
      remedy: `chmod 666 ${CONTAINER}, as the kernel makes it, or setfacl -m u:${who.uid}:rw; a udev rule keeps it so`,
      details: { node: CONTAINER, uid: who.uid, mode: stat.mode.toString(8) },
    },
  );
}

/**
 * Whether a process can open /dev/iommu. It serves every VM of the host, so its mode is for the operator to set.
 *
 * @throws {HostNotReadyError} `DENIED`. @throws {HostError} `HOST_UNREADABLE`
 */
export async function requireIommu(effects: HostEffects, who: ProcessCredentials): Promise<void> {
  const stat = await requireNode(effects, IOMMU_NODE);
  if (canReadWrite(who, stat)) return;
  throw new HostNotReadyError(
    'DENIED',
    `${IOMMU_NODE} is closed to QEMU, which runs as uid ${who.uid}`,
    {
      remedy: `let its group in: chgrp kvm ${IOMMU_NODE}; or hand it descriptors: --pass-fds`,
      details: { node: IOMMU_NODE, uid: who.uid, mode: stat.mode.toString(8) },
    },
  );
}

async function change(
  effects: HostEffects,
  node: string,
  to: { uid: number; gid: number; mode: number },
  from: HostStat,
): Promise<void> {
  try {
    if (from.uid !== to.uid || from.gid !== to.gid) await effects.chown(node, to.uid, to.gid);
    if (from.mode !== to.mode) await effects.chmod(node, to.mode);
  } catch (error) {
    throw hostFailure(node, error);
  }
}

async function requireNode(effects: HostEffects, node: string): Promise<HostStat> {
  try {
    return await effects.stat(node);
  } catch (error) {
    throw hostFailure(node, error, 'HOST_UNREADABLE');
  }
}
