import type { HostEffects } from '../effects.js';
import { ifPresent, listOrNone } from '../reading.js';
import type { BlockDevice } from './block-stack.js';
import type { Use } from './guard.js';

/**
 * Members of mounted btrfs file systems. Their mounts show an anonymous device number and the name of
 * one member only; /sys/fs/btrfs lists the members of every file system that is mounted anywhere.
 */
export async function findBtrfsUses(
  effects: HostEffects,
  stack: readonly BlockDevice[],
): Promise<readonly Use[]> {
  const uses: Use[] = [];
  for (const uuid of await listOrNone(effects, '/sys/fs/btrfs')) {
    const members = await listOrNone(effects, `/sys/fs/btrfs/${uuid}/devices`);
    for (const { name } of stack) {
      if (!members.includes(name)) continue;
      uses.push({
        reason: 'in-use.mount',
        evidence: `/dev/${name} is a member of the mounted btrfs file system ${uuid}`,
        remedy: `unmount it, or btrfs device remove /dev/${name}`,
      });
    }
  }
  return uses;
}

/**
 * Members of ZFS pools. ZFS tells the kernel nothing of its members, so while a pool is imported
 * the signature that udev has read decides; a device udev knows nothing of may be a member.
 */
export async function findZfsUses(
  effects: HostEffects,
  stack: readonly BlockDevice[],
): Promise<readonly Use[]> {
  const pools = await readPools(effects);
  if (pools.length === 0) return [];
  const uses: Use[] = [];
  for (const { name, number } of stack) {
    const record = await ifPresent(effects.read(`/run/udev/data/b${number}`));
    if (record !== undefined && !/^E:ID_FS_TYPE=zfs_member$/m.test(record)) continue;
    const isMember = record !== undefined;
    uses.push({
      reason: isMember ? 'in-use.zfs' : 'unreadable.zfs',
      evidence: isMember
        ? `/dev/${name} is a ZFS member, and pools are imported: ${pools.join(', ')}`
        : `whether /dev/${name} belongs to a ZFS pool cannot be told; imported: ${pools.join(', ')}`,
      remedy: 'zpool status names the members; zpool export the pool',
    });
  }
  return uses;
}

/** Imported pools: the directories among the statistics of the ZFS module. */
async function readPools(effects: HostEffects): Promise<readonly string[]> {
  const directory = '/proc/spl/kstat/zfs';
  const pools: string[] = [];
  for (const name of await listOrNone(effects, directory)) {
    const stat = await ifPresent(effects.stat(`${directory}/${name}`));
    if (stat?.kind === 'directory') pools.push(name);
  }
  return pools.sort();
}
