import { HostIoError } from './effects.js';

/** Trees that stand in for the host's own; each defaults to the real place. */
export interface HostRoots {
  readonly sysfs?: string | undefined;
  readonly proc?: string | undefined;
  readonly dev?: string | undefined;
  readonly etc?: string | undefined;
  readonly run?: string | undefined;
  /** Stands in for /lib/modules. */
  readonly modules?: string | undefined;
}

const CANONICAL = {
  sysfs: '/sys',
  proc: '/proc',
  dev: '/dev',
  etc: '/etc',
  run: '/run',
  modules: '/lib/modules',
} as const satisfies Record<keyof HostRoots, string>;

/** Whether any of the host's trees is served from elsewhere. */
export function hasAlternativeRoots(roots: HostRoots): boolean {
  return Object.values(roots).some((root) => root !== undefined);
}

/**
 * Where a canonical path really lies. Parent segments are refused: a name that came from outside
 * must never lead to another file.
 *
 * @throws {HostIoError} `EINVAL` for a path that is not absolute and plain.
 */
export function toRealPath(path: string, roots: HostRoots, operation: string): string {
  if (!path.startsWith('/') || path.includes('\0') || path.split('/').includes('..')) {
    throw new HostIoError('EINVAL', operation, path);
  }
  for (const [name, prefix] of Object.entries(CANONICAL)) {
    // Object.entries widens the keys that `satisfies` has just checked.
    const root = roots[name as keyof HostRoots];
    if (root !== undefined && (path === prefix || path.startsWith(`${prefix}/`))) {
      return root + path.slice(prefix.length);
    }
  }
  return path;
}
