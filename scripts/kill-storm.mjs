// npm run kill-storm -- [--kills N] [--seed N] [--hotplug native|acpi]: kills attaches and detaches of a live QEMU
// with SIGKILL at any moment, on the command line and in a program that embeds the library, and looks after each
// whether everything comes back to before or to after, and nothing else stays. The last line is JSON. Ends with
// status 1 where it did not once.
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createEnvironment, openVm } from '../dist/index.js';
import { connectQmp } from '../dist/qmp/index.js';
import { difference, worldState } from '../test/programs/world-state.mjs';
import { startQemu } from './lab/qemu.mjs';
import { makeStateDirectory } from './lab/state-directory.mjs';
import { progressOf, runKilled } from './storm/killed-run.mjs';

const ROOT = join(import.meta.dirname, '..');
const DEVICE = { driver: 'virtio-rng-pci' };
const ID = 'd0';
const DEFAULT_KILLS = 1_000;
/**
 * A kill comes anywhere between a trace of the operation on disk and its usual end; half of them in the first
 * quarter, as much of the end is Node's own.
 */
const EARLINESS = 2;
const REPORT_EVERY = 100;
const WAITS_FOR_GUEST = ['STILL_PENDING', 'CONFLICT'];

const { values } = parseArgs({
  options: { kills: { type: 'string' }, seed: { type: 'string' }, hotplug: { type: 'string' } },
});
const kills = wholeNumber('--kills', values.kills ?? String(DEFAULT_KILLS));
const seed = wholeNumber('--seed', values.seed ?? String(Date.now() % 2 ** 31));
const hotplug = oneOf('--hotplug', /** @type {const} */ (['native', 'acpi']), values.hotplug);
const random = generator(seed);

const directory = makeStateDirectory('storm');
const directories = { stateDir: join(directory, 'state'), runDir: join(directory, 'run') };
const environment = createEnvironment(directories);
mkdirSync(join(directories.runDir, 'locks'), { recursive: true });
mkdirSync(join(directories.stateDir, 'plans'), { recursive: true });
// Native ports of a VM in which nobody runs let go at once. With ACPI a removal waits for a reset.
const qemu = await startQemu({ paused: hotplug === 'native', hotplug, args: ports(3) });
const observer = await connectQmp(qemu.otherQmpPath);
const world = { observer, qemuPid: qemu.pid, environment };
/** `before` and `after`: where `recover` led; `redone`: where the same command was given again. */
const counts = { killed: 0, late: 0, before: 0, after: 0, redone: 0, resets: 0 };
/** How many were killed at what, by operation. @type {Record<string, number>} */
const killedAt = {};
/** @type {string[]} */
const violations = [];
console.error(`${kills} kills, ${hotplug} hot-plug, seed ${seed}`);
try {
  await storm();
} finally {
  await observer.close();
  await qemu.kill();
  rmSync(directory, { recursive: true, force: true });
}
console.log(JSON.stringify({ seed, hotplug, ...counts, killedAt, violations }));
process.exitCode = violations.length > 0 ? 1 : 0;

async function storm() {
  const detached = await worldState(world);
  await withVm((vm) => vm.attach({ id: ID, emulate: DEVICE }));
  const attached = await worldState(world);
  let inside = true;
  const usualMs = await measure();
  while (counts.killed < kills) {
    const operation = inside ? 'detach' : 'attach';
    const way = random() < 0.5 ? 'cli' : 'library';
    const since = random() < 0.5 ? 'lock' : 'plan';
    const mend = random() < 0.5 ? operation : 'recover';
    const ms = random() ** EARLINESS * usualMs[way][since];
    const { killed } = await runKilled(argumentsOf(way, operation), directories, { since, ms });
    const at = `${operation}: ${killed ? progressOf(directories.stateDir, operation) : 'not killed'}`;
    counts[killed ? 'killed' : 'late'] += 1;
    killedAt[at] = (killedAt[at] ?? 0) + 1;
    const what = `${operation} by ${way}, killed ${ms.toFixed(2)} ms after its ${since} (${at}), then ${mend}`;
    try {
      const { open } = await withVm(async (vm) => {
        await mendBy(vm, mend);
        return vm.recover();
      });
      if (open.length > 0) throw new Error(`open after recover: ${JSON.stringify(open)}`);
      const state = await worldState(world);
      const [isOut, isIn] = [difference(detached, state), difference(attached, state)];
      if (isOut !== undefined && isIn !== undefined) {
        throw new Error(`neither before nor after. Before: ${isOut}. After: ${isIn}`);
      }
      inside = isIn === undefined;
    } catch (error) {
      violations.push(`${what}: ${String(error)}`);
      return;
    }
    const done = inside === (operation === 'attach');
    if (mend === operation && !done) violations.push(`${what}: done again, and still not done`);
    if (killed) counts[mend === operation ? 'redone' : done ? 'after' : 'before'] += 1;
    if (counts.killed % REPORT_EVERY === 0 && killed) console.error(`${counts.killed} killed`);
  }
}

/**
 * What an operator would do next: the same again, or `recover`. What only waits for the guest is ended by a reset.
 *
 * @param {import('../dist/index.js').Vm} vm
 * @param {string} mend
 */
async function mendBy(vm, mend) {
  if (hotplug === 'native') {
    await mendNow(vm, mend);
    return;
  }
  if (!(await mendNow(vm, mend, { timeoutMs: 0 }).catch(isWaitForGuest))) return;
  counts.resets += 1;
  await qemu.qmp.execute('system_reset');
  await vm.recover();
  if (mend !== 'recover') await mendNow(vm, mend);
}

/**
 * @param {import('../dist/index.js').Vm} vm
 * @param {string} mend
 * @param {import('../dist/index.js').WaitOptions} [options]
 * @returns {Promise<boolean>} whether it still waits
 */
async function mendNow(vm, mend, options) {
  if (mend === 'recover') return (await vm.recover(options)).open.length > 0;
  if (mend === 'detach') return (await vm.detach(ID, options)).pending !== undefined;
  await vm.attach({ id: ID, emulate: DEVICE }, options);
  return false;
}

/** An attach comes to nothing while the same device is on its way out. @param {unknown} error */
function isWaitForGuest(error) {
  const { code } = /** @type {{ code?: unknown }} */ (error);
  if (WAITS_FOR_GUEST.includes(String(code))) return true;
  throw error;
}

/**
 * How long each way usually lives after each of its traces, milliseconds, by operations that nobody kills.
 * One that waits for the guest is killed within the time of an attach.
 */
async function measure() {
  const times = { cli: { lock: 0, plan: 0 }, library: { lock: 0, plan: 0 } };
  for (const way of /** @type {const} */ (['cli', 'library'])) {
    for (const operation of ['detach', 'attach']) {
      if (operation === 'detach' && hotplug === 'acpi') {
        await withVm((vm) => mendBy(vm, 'detach'));
        continue;
      }
      const never = { since: /** @type {const} */ ('lock'), ms: Infinity };
      const { ms } = await runKilled(argumentsOf(way, operation), directories, never);
      for (const trace of /** @type {const} */ (['lock', 'plan'])) {
        times[way][trace] = Math.max(times[way][trace], ms[trace]);
      }
    }
  }
  return times;
}

/** @param {'cli' | 'library'} way @param {string} operation */
function argumentsOf(way, operation) {
  const address = qemu.qmpPath;
  if (way === 'cli') {
    const what = operation === 'attach' ? ['--device', JSON.stringify(DEVICE), '--id', ID] : [ID];
    return [join(ROOT, 'dist/cli/main.js'), operation, address, ...what];
  }
  const request = { id: ID, emulate: DEVICE };
  const specification = { address, do: operation, request, what: ID, ...directories };
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
  return refuse(`${option} takes a whole number, not ${JSON.stringify(text)}`);
}

/**
 * @template {string} T
 * @param {string} option
 * @param {readonly T[]} choices the first is the default
 * @param {string | undefined} text
 * @returns {T}
 */
function oneOf(option, choices, text) {
  const chosen = choices.find((choice) => choice === (text ?? choices[0]));
  return chosen ?? refuse(`${option} takes ${choices.join(' or ')}, not ${JSON.stringify(text)}`);
}

/** @param {string} message @returns {never} */
function refuse(message) {
  console.error(message);
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
