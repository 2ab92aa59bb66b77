// npm run kill-storm -- [--kills N] [--seed N]: kills attaches and detaches of a live QEMU with SIGKILL at any
// moment, on the command line and in a program that embeds the library, and looks after each whether `recover`
// brings everything back to before or to after. Ends with status 1 where it did not once.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, watch } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createEnvironment, openVm } from '../dist/index.js';
import { connectQmp } from '../dist/qmp/index.js';
import { difference, worldState } from '../test/programs/world-state.mjs';
import { startQemu } from './lab/qemu.mjs';

const ROOT = join(import.meta.dirname, '..');
const DEVICE = { driver: 'virtio-rng-pci' };
const ID = 'd0';
const DEFAULT_KILLS = 1_000;
/** A kill comes anywhere between the first trace of the operation on disk and a little past its usual end. */
const BEYOND_END = 1.2;

const { values } = parseArgs({ options: { kills: { type: 'string' }, seed: { type: 'string' } } });
const kills = wholeNumber('--kills', values.kills ?? String(DEFAULT_KILLS));
const seed = wholeNumber('--seed', values.seed ?? String(Date.now() % 2 ** 31));
const random = generator(seed);

const directory = mkdtempSync(join(tmpdir(), 'qmplug-storm-'));
const stateDir = join(directory, 'state');
const runDir = join(directory, 'run');
const environment = createEnvironment({ stateDir, runDir });
mkdirSync(join(runDir, 'locks'), { recursive: true });
const qemu = await startQemu({ paused: true, hotplug: 'native', args: ports(3) });
const observer = await connectQmp(qemu.otherQmpPath);
const world = { observer, qemuPid: qemu.pid, environment };
const counts = { killed: 0, before: 0, after: 0, late: 0 };
/** @type {string[]} */
const violations = [];
console.log(`${kills} kills, seed ${seed}`);
try {
  await storm();
} finally {
  await observer.close();
  await qemu.kill();
  rmSync(directory, { recursive: true, force: true });
}
console.log(JSON.stringify({ seed, ...counts, violations }));
process.exitCode = violations.length > 0 ? 1 : 0;

async function storm() {
  const detached = await worldState(world);
  await withVm((vm) => vm.attach({ id: ID, emulate: DEVICE }));
  const attached = await worldState(world);
  const usualMs = await measure();
  let inside = true;
  while (counts.killed < kills) {
    const operation = inside ? 'detach' : 'attach';
    const way = random() < 0.5 ? 'cli' : 'library';
    const afterMs = random() * usualMs[way] * BEYOND_END;
    if ((await runKilled(way, operation, afterMs)).killed) counts.killed += 1;
    else counts.late += 1;
    const { open } = await withVm((vm) => vm.recover());
    const state = await worldState(world);
    const [isOut, isIn] = [difference(detached, state), difference(attached, state)];
    inside = isIn === undefined;
    counts[inside === (operation === 'attach') ? 'after' : 'before'] += 1;
    const what = `${operation} by ${way}, killed ${afterMs.toFixed(1)} ms after it began`;
    if (open.length > 0) violations.push(`${what}: open after recover: ${JSON.stringify(open)}`);
    if (isOut !== undefined && isIn !== undefined) {
      violations.push(`${what}: neither before nor after: ${isOut}`);
      return;
    }
    if (counts.killed % 100 === 0 && counts.killed > 0) console.log(`${counts.killed} killed`);
  }
}

/** How long each way usually takes, milliseconds, by a detach and an attach that nobody kills. */
async function measure() {
  const times = { cli: 0, library: 0 };
  for (const way of /** @type {const} */ (['cli', 'library'])) {
    for (const operation of ['detach', 'attach']) {
      times[way] = Math.max(times[way], (await runKilled(way, operation, Infinity)).ms);
    }
  }
  return times;
}

/**
 * @param {'cli' | 'library'} way
 * @param {string} operation
 * @param {number} afterMs from the moment it takes the VM's lock
 * @returns {Promise<{ killed: boolean, ms: number }>} whether it was killed before its end, and how long it
 * took from that moment on.
 */
function runKilled(way, operation, afterMs) {
  const child = spawn(process.execPath, argumentsOf(way, operation), {
    stdio: 'ignore',
    env: { ...process.env, QMPLUG_STATE_DIR: stateDir, QMPLUG_RUN_DIR: runDir },
  });
  let beganAt = 0;
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const watcher = watch(join(runDir, 'locks'), () => {
    if (beganAt > 0) return;
    beganAt = performance.now();
    if (afterMs !== Infinity) timer = setTimeout(() => child.kill('SIGKILL'), afterMs);
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject).once('close', (_, signal) => {
      clearTimeout(timer);
      watcher.close();
      resolve({ killed: signal === 'SIGKILL', ms: performance.now() - beganAt });
    });
  });
}

/** @param {'cli' | 'library'} way @param {string} operation */
function argumentsOf(way, operation) {
  const address = qemu.qmpPath;
  if (way === 'cli') {
    const what = operation === 'attach' ? ['--device', JSON.stringify(DEVICE), '--id', ID] : [ID];
    return [join(ROOT, 'dist/cli/main.js'), operation, address, ...what];
  }
  const request = { id: ID, emulate: DEVICE };
  const specification = { address, do: operation, request, what: ID, stateDir, runDir };
  return [join(ROOT, 'test/programs/operate.mjs'), JSON.stringify(specification)];
}

/**
 * @template T
 * @param {(vm: import('../dist/index.js').Vm) => Promise<T>} work
 */
async function withVm(work) {
  const vm = await openVm(qemu.qmpPath, { environment });
  try {
    return await work(vm);
  } finally {
    await vm.close();
  }
}

/** @param {number} count */
function ports(count) {
  return Array.from({ length: count }, (_, index) => [
    '-device',
    `pcie-root-port,id=rp${index},bus=pcie.0,chassis=${index + 1},slot=${index + 1},addr=2.${index},multifunction=on`,
  ]).flat();
}

/** @param {string} option @param {string} text */
function wholeNumber(option, text) {
  if (/^\d{1,10}$/.test(text)) return Number(text);
  console.error(`${option} takes a whole number, not ${JSON.stringify(text)}`);
  process.exit(2);
}

/** Numbers from 0 to 1, the same for the same seed (Marsaglia's xorshift, 32 bits). @param {number} start */
function generator(start) {
  let state = start + 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
