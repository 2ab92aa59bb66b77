// One QMP command in a warm session, beside a C client that does nothing else.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectQmp } from '../dist/qmp/index.js';
import { startQemu } from '../scripts/lab/qemu.mjs';
import { median, quantile, timed } from './measure.mjs';

const ROUNDS = 10;
const COMMANDS = 1_000;
const BUDGET_US = 20;

/** @returns {Promise<import('./measure.mjs').Figure>} */
export async function measureCommand() {
  const directory = mkdtempSync(join(tmpdir(), 'qmplug-bench-'));
  const floor = join(directory, 'floor');
  build(floor);
  const qemu = await startQemu({ paused: true });
  const session = await connectQmp(qemu.qmpPath);
  try {
    /** @type {number[]} */
    const ours = [];
    /** @type {number[]} */
    const theirs = [];
    for (let count = 0; count < COMMANDS; count += 1) await session.execute('query-status');
    // In turns, so that a change of the machine's load meets both.
    for (let round = 0; round < ROUNDS; round += 1) {
      for (let count = 0; count < COMMANDS; count += 1) {
        ours.push(1_000 * (await timed(() => session.execute('query-status'))));
      }
      theirs.push(...runFloor(floor, qemu.otherQmpPath));
    }
    const overhead = median(ours) - median(theirs);
    return {
      name: 'a QMP command over the floor, p50',
      ours: `${overhead.toFixed(1)} us (p99 ${(quantile(ours, 0.99) - quantile(theirs, 0.99)).toFixed(0)})`,
      floor: `C client ${median(theirs).toFixed(1)} us`,
      budget: `${BUDGET_US} us`,
      holds: overhead <= BUDGET_US,
    };
  } finally {
    await session.close();
    await qemu.kill();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** @param {string} binary */
function build(binary) {
  const source = join(import.meta.dirname, 'floor.c');
  const { status } = spawnSync('cc', ['-O2', '-o', binary, source], { stdio: 'inherit' });
  if (status !== 0) throw new Error('the C client could not be built: a compiler `cc` is needed');
}

/** @param {string} binary @param {string} socket */
function runFloor(binary, socket) {
  const command = '{"execute":"query-status","id":1}\n';
  const { stdout, status } = spawnSync(binary, [socket, String(COMMANDS), command], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`the C client ended with status ${status}`);
  return stdout.trim().split('\n').map(Number);
}
