import type { HostEffects } from '../host/effects.js';
import { HostIoError } from '../host/effects.js';
import { seen, type Evidence } from './finding.js';

/** Where the kernel's refusals end up: with an audit daemon, and without one. */
const LOGS = ['/var/log/audit/audit.log', '/var/log/kern.log'];

/**
 * The last refusal by SELinux or AppArmor that names the path. A log that is not there or may not be read tells
 * nothing; that something was refused is proof, that nothing was is none.
 */
export async function findDenial(
  effects: HostEffects,
  path: string,
): Promise<Evidence | undefined> {
  for (const log of LOGS) {
    const text = await effects.read(log).catch((error: unknown) => {
      if (error instanceof HostIoError) return '';
      throw error;
    });
    const line = text.split('\n').findLast((each) => isDenial(each, path));
    if (line !== undefined) return seen(log, line.trim());
  }
  return undefined;
}

function isDenial(line: string, path: string): boolean {
  if (!/avc:\s+denied|apparmor="DENIED"/.test(line)) return false;
  return [`path="${path}"`, `name="${path}"`].some((words) => line.includes(words));
}
