// A thousand VMs open in one process, beside a process of Node that does nothing.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const VMS = 1_000;
const BUDGET_MB = 150;
const BARE = 'console.log(process.resourceUsage().maxRSS / 1000)';

/** @returns {Promise<import('./measure.mjs').Figure>} */
export async function measureDaemon() {
  const directory = mkdtempSync(join(tmpdir(), 'qmplug-bench-'));
  const program = (/** @type {string} */ name) => join(import.meta.dirname, 'daemon', name);
  const vms = spawn(process.execPath, [program('vms.mjs'), directory, String(VMS)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const ended = once(vms, 'exit').then(() => Promise.reject(new Error('the VMs have ended')));
    await Promise.race([once(vms.stdout, 'data'), ended]);
    ended.catch(() => undefined);
    const opened = run(program('controller.mjs'), directory, String(VMS));
    const { seconds, megabytes } = JSON.parse(opened);
    return {
      name: `memory with ${VMS} VMs open, at most`,
      ours: `${megabytes.toFixed(0)} MB (opened in ${seconds.toFixed(1)} s)`,
      floor: `node alone ${Number(run('-e', BARE)).toFixed(0)} MB`,
      budget: `${BUDGET_MB} MB`,
      holds: megabytes < BUDGET_MB,
    };
  } finally {
    vms.kill();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** @param {readonly string[]} args */
function run(...args) {
  const { stdout, status } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status !== 0) throw new Error(`node ${args.join(' ')} ended with status ${status}`);
  return stdout;
}
