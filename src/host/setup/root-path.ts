import { lstat, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { HostIoError } from '../effects.js';

/** As many links as the kernel follows (include/linux/namei.h, MAXSYMLINKS). */
const MAX_LINKS = 40;

/**
 * Where a path of the system below `root` lies, with every link on the way read as that system would: an
 * absolute target begins at `root`, and `..` ends there. The last part is followed only on request.
 */
export async function resolveInRoot(
  root: string,
  path: string,
  { followLast }: { readonly followLast: boolean },
): Promise<string> {
  if (!path.startsWith('/') || path.includes('\0')) throw new HostIoError('EINVAL', 'find', path);
  const rest = partsOf(path);
  const done: string[] = [];
  let linkCount = 0;
  for (let part = rest.shift(); part !== undefined; part = rest.shift()) {
    if (part === '..') {
      done.pop();
      continue;
    }
    const isLast = rest.length === 0;
    const target = isLast && !followLast ? undefined : await linkAt(join(root, ...done, part));
    if (target === undefined) {
      done.push(part);
      continue;
    }
    linkCount += 1;
    if (linkCount > MAX_LINKS) throw new HostIoError('ELOOP', 'find', path);
    if (target.startsWith('/')) done.length = 0;
    rest.unshift(...partsOf(target));
  }
  return join(root, ...done);
}

const partsOf = (path: string) => path.split('/').filter((part) => part !== '' && part !== '.');

async function linkAt(path: string): Promise<string | undefined> {
  try {
    return (await lstat(path)).isSymbolicLink() ? await readlink(path) : undefined;
  } catch {
    return undefined; // whoever opens it will say why it cannot be
  }
}
