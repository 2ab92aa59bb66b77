import type { HostEffects } from '../host/effects.js';
import { exists, ifPresent } from '../host/reading.js';
import { seen, type Evidence } from './finding.js';

/** There exactly where the kernel enforces AppArmor. */
export const PROFILES = '/sys/kernel/security/apparmor/profiles';

export const hasApparmor = (effects: HostEffects): Promise<boolean> => exists(effects, PROFILES);

/** The part of libvirt's profiles that belongs to the administrator. */
export const ABSTRACTION = '/etc/apparmor.d/local/abstractions/libvirt-qemu';

/** A rule that reads and writes the node, in the files of libvirt's profile for the VM or in the local part. */
export async function findRule(
  effects: HostEffects,
  profile: string,
  node: string,
): Promise<Evidence | undefined> {
  // The name comes from the kernel, and still leads to no other folder.
  const own = /^libvirt-[0-9a-f-]{36}$/.test(profile)
    ? [`/etc/apparmor.d/libvirt/${profile}.files`, `/etc/apparmor.d/libvirt/${profile}`]
    : [];
  for (const path of [...own, ABSTRACTION, '/etc/apparmor.d/abstractions/libvirt-qemu']) {
    const text = (await ifPresent(effects.read(path))) ?? '';
    const line = text.split('\n').find((each) => allows(each, node));
    if (line !== undefined) return seen(path, line.trim());
  }
  return undefined;
}

/** `"/dev/vfio/[0-9]*" rwk,`: apparmor.d(5), globbing; `*` ends at a slash, `**` does not. */
function allows(line: string, node: string): boolean {
  const [, quoted, plain, modes] =
    /^\s*(?:owner\s+)?(?:"([^"]+)"|(\/\S+))\s+(\w+),/.exec(line) ?? [];
  const pattern = quoted ?? plain;
  if (pattern === undefined || !modes?.includes('r') || !modes.includes('w')) return false;
  const source = pattern
    .replace(/[.+^${}()|\\]/g, '\\$&')
    .replace(/\*\*/g, '\0')
    .replace(/\*/g, '[^/]*')
    .replace(/\?/g, '[^/]')
    .replace(/\0/g, '.*');
  return new RegExp(`^${source}$`).test(node);
}
