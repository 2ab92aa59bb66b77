import { known, unknown, type Known } from '../known.js';
import type { HostEffects } from '../host/effects.js';
import { readAttribute } from '../host/reading.js';
import type { SetupHost } from '../host/setup/index.js';
import { seen, type Evidence } from './finding.js';

const ENFORCE = '/sys/fs/selinux/enforce';

/** Whether SELinux refuses anything here. @throws {HostIoError} */
export async function isEnforcing(
  effects: HostEffects,
): Promise<{ readonly isOn: boolean; readonly why: string; readonly read: Evidence }> {
  const value = await readAttribute(effects, ENFORCE);
  if (value === undefined) {
    return { isOn: false, why: 'there is no SELinux', read: seen(ENFORCE, 'absent') };
  }
  const isOn = value.trim() === '1';
  return {
    isOn,
    why: isOn ? 'SELinux enforces' : 'SELinux is permissive',
    read: seen(ENFORCE, value),
  };
}

/** The type in the security context of a file. @throws {HostIoError} */
export async function readType(setup: SetupHost | undefined, path: string): Promise<Known<string>> {
  if (setup === undefined) return unknown('the label in a stand-in tree cannot be read');
  const { status, stdout, stderr } = await setup.run(['stat', '-c', '%C', '--', path], {
    deadlineMs: 10_000,
  });
  // user:role:type:level
  const type = stdout.trim().split(':')[2];
  if (status === 0 && type !== undefined) return known(type);
  return unknown(`stat -c %C ${path}: ${stderr.trim() || stdout.trim()}`);
}
