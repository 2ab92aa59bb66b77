import { posix } from 'node:path';
import type { HostEffects } from './effects.js';
import { ifPresent } from './reading.js';

/** Linux include/linux/namei.h, MAXSYMLINKS. */
const MOST_LINKS = 40;

/**
 * Where a path ends once every symbolic link on it is followed; undefined where it leads nowhere, or in a circle.
 *
 * @param path absolute.
 */
export async function followLinks(effects: HostEffects, path: string): Promise<string | undefined> {
  let ahead = partsOf(path);
  let at = '/';
  for (let links = 0; ahead.length > 0;) {
    const [next = '', ...rest] = ahead;
    ahead = rest;
    if (next === '..') {
      at = posix.dirname(at);
      continue;
    }
    const here = posix.join(at, next);
    const stat = await ifPresent(effects.stat(here));
    if (stat === undefined) return undefined;
    if (stat.kind !== 'link') {
      at = here;
      continue;
    }
    if ((links += 1) > MOST_LINKS) return undefined;
    const target = await effects.readlink(here);
    if (target.startsWith('/')) at = '/';
    ahead = [...partsOf(target), ...rest];
  }
  return at;
}

const partsOf = (path: string) => path.split('/').filter((part) => part !== '' && part !== '.');
