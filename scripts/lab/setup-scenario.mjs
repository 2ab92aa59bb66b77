// Host set-up on a machine with its own GRUB: applied, booted, looked at, put back, booted again.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { findGrubDisk } from './grub-disks.mjs';
import { bootGrubDisk } from './grub-host.mjs';

const SCENARIO = join(import.meta.dirname, 'grub-host/scenario.sh');

/**
 * Runs the scenario over a disk, which stays as it is.
 *
 * @param {object} options
 * @param {import('./grub-disks.mjs').InitramfsProgram} options.program
 * @param {Readonly<Record<string, unknown>>} options.desired the desired state; one with a `fallback` boots that too
 * @returns {Promise<ReadonlyMap<string, string>>} what the machine told, by stage and key: `1 cmdline`
 */
export async function runSetupScenario({ program, desired }) {
  const disk = findGrubDisk(program);
  if (disk === undefined) throw new Error('no disk of a Debian with GRUB; run scripts/setup.sh');
  const said = await bootGrubDisk({
    disk,
    files: {
      'scenario.sh': readFileSync(SCENARIO, 'utf8'),
      'host.json': JSON.stringify(desired),
      ...('fallback' in desired ? { fallback: '' } : {}),
    },
    deadlineMs: 40 * 60_000,
  });
  const told = [...said.matchAll(/^LAB: (\d \w+) ?(.*?)\r?$/gm)];
  const seen = new Map(told.map(([, key = '', value = '']) => [key, value]));
  // Without the last line of the last boot, nothing in between says where it ended.
  if (!seen.has('3 journal')) throw new Error(`the scenario broke off: ${said.slice(-4000)}`);
  return seen;
}
