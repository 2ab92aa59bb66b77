import type { UseFinding } from '../types.js';
import { isNamedBy, readBlockDevices, stackOn, type BlockDevice } from './block-stack.js';
import { findBtrfsUses, findZfsUses } from './file-systems.js';
import { describeOpeners, unreadable, type Guard, type GuardContext, type Use } from './guard.js';
import { readMounts, type Mount, type MountTable } from './mounts.js';
import { findSwapUses } from './swap.js';

/**
 * Disks behind the function and everything stacked on them. The kernel does not protect data: a
 * mounted NVMe is unbound without a word, and its file system dies of it.
 */
export const blockGuard: Guard = {
  subject: 'block',
  find: async (context, { bdf }) => {
    const { effects } = context;
    const devices = await context.once('block-devices', () => readBlockDevices(effects));
    const stack = stackOn(devices, bdf);
    if (stack.length === 0) return [];
    const table = await context.once('mounts', () => readMounts(effects));
    const uses: Use[] = [
      ...findMountUses(stack, table),
      ...(await findSwapUses(effects, stack)),
      ...(await findBtrfsUses(effects, stack)),
      ...(await findZfsUses(effects, stack)),
      ...findStackUses(stack),
      ...(await findOpeners(context, stack)),
    ];
    const findings = uses.map((use): UseFinding => ({ bdf, level: 'block', ...use }));
    if (table.blindness !== undefined) findings.push(unreadable(bdf, 'mounts', table.blindness));
    if (context.blindness !== undefined) findings.push(unreadable(bdf, 'files', context.blindness));
    return findings.length > 0 ? findings : [idle(bdf, stack)];
  },
};

function findMountUses(stack: readonly BlockDevice[], { mounts }: MountTable): readonly Use[] {
  return stack.flatMap((device) => {
    const own = mounts.filter((mount) => isMountOf(device, mount));
    const points = [...new Set(own.map(({ mountPoint }) => mountPoint))];
    const [first] = own;
    if (first === undefined) return [];
    const more = points.length > 1 ? ` and ${points.length - 1} more` : '';
    const where = first.pid === 'self' ? '' : ` (mount namespace of process ${first.pid})`;
    return [
      {
        reason: 'in-use.mount',
        evidence: `/dev/${device.name} is mounted on ${first.mountPoint}${more}${where}`,
        remedy:
          first.mountPoint === '/' ? 'the host itself runs from it' : `umount ${first.mountPoint}`,
      },
    ];
  });
}

/**
 * By device number; by the source where a file system spans devices (btrfs shows one of them,
 * bcachefs all, joined by colons); by an option that names a second device (xfs `logdev=`, `rtdev=`).
 */
function isMountOf(device: BlockDevice, { number, source, superOptions }: Mount): boolean {
  if (device.number !== '' && number === device.number) return true;
  const named = [
    ...source.split(':'),
    ...superOptions.split(',').map((each) => each.split('=')[1]),
  ];
  return named.some((path) => path !== undefined && isNamedBy(device, path));
}

/** Active volumes, arrays and loops count as use although nothing is mounted: they own the device. */
function findStackUses(stack: readonly BlockDevice[]): readonly Use[] {
  return stack
    .filter(({ upper }) => upper.length > 0)
    .map(({ name, upper }) => ({
      reason: 'in-use.stack',
      evidence: `/dev/${name} is part of ${upper.map((each) => `/dev/${each}`).join(', ')}`,
      remedy: 'take it apart first: vgchange -an, mdadm --stop, dmsetup remove or losetup -d',
    }));
}

async function findOpeners(
  context: GuardContext,
  stack: readonly BlockDevice[],
): Promise<readonly Use[]> {
  const uses: Use[] = [];
  for (const { name } of stack) {
    const openers = await describeOpeners(context, `/dev/${name}`);
    if (openers.length === 0) continue;
    uses.push({
      reason: 'in-use.open',
      evidence: `/dev/${name} is open in ${openers.join(', ')}`,
      remedy: 'stop those programs',
    });
  }
  return uses;
}

function idle(bdf: UseFinding['bdf'], stack: readonly BlockDevice[]): UseFinding {
  return {
    bdf,
    level: 'warn',
    reason: 'in-use.block',
    evidence: `${stack.map(({ name }) => `/dev/${name}`).join(', ')} idle, not mounted`,
    remedy: 'make sure that nothing is about to use them',
  };
}
