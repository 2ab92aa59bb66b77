import type { HostEffects } from '../effects.js';
import { ifPresent } from '../reading.js';
import { isNamedBy, type BlockDevice } from './block-stack.js';
import type { Use } from './guard.js';
import { unescapeField } from './mounts.js';

/** Paths in /proc/swaps. A swap file is found through the mount it lies on. */
export function parseSwaps(text: string): readonly string[] {
  return text
    .split('\n')
    .slice(1)
    .map((line) => unescapeField(line.split(/\s/)[0] ?? '').replace(/ \(deleted\)$/, ''))
    .filter((path) => path.startsWith('/'));
}

/** Swap on a device of the stack, by name or, for any other path, by the node's device number. */
export async function findSwapUses(
  effects: HostEffects,
  stack: readonly BlockDevice[],
): Promise<readonly Use[]> {
  const swaps = parseSwaps((await ifPresent(effects.read('/proc/swaps'))) ?? '');
  const uses: Use[] = [];
  for (const path of swaps) {
    const number = await deviceNumber(effects, path);
    const device = stack.find((each) => isNamedBy(each, path) || each.number === number);
    if (device === undefined) continue;
    uses.push({
      reason: 'in-use.swap',
      evidence: `/dev/${device.name} is swap space (${path})`,
      remedy: `swapoff ${path}`,
    });
  }
  return uses;
}

async function deviceNumber(effects: HostEffects, path: string): Promise<string | undefined> {
  const rdev = (await ifPresent(effects.stat(path)))?.rdev;
  return rdev === undefined ? undefined : `${rdev.major}:${rdev.minor}`;
}
