// An operation in a process of its own that is killed at a chosen moment, and how far it had come by then.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, watch } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';

/** A timer is a millisecond coarse; the rest of the time is spun away. */
const TIMER_MS = 1.5;

/**
 * @typedef {object} Moment when to kill
 * @property {'lock' | 'plan'} since the operation's first trace in the run directory's locks, or in the journal
 * @property {number} ms after it; `Infinity` never
 */

/**
 * Runs a Node program and kills it.
 *
 * @param {readonly string[]} argv
 * @param {{ stateDir: string, runDir: string }} directories whose folders `locks` and `plans` must be there
 * @param {Moment} moment
 * @returns {Promise<{ killed: boolean, ms: { lock: number, plan: number } }>} whether it was killed before its
 *   end, and how long it lived from each of its traces on; NaN where it left none
 */
export async function runKilled(argv, { stateDir, runDir }, { since, ms: afterMs }) {
  const child = spawn(process.execPath, argv, {
    stdio: 'ignore',
    env: { ...process.env, QMPLUG_STATE_DIR: stateDir, QMPLUG_RUN_DIR: runDir },
  });
  const traces = { lock: NaN, plan: NaN };
  let over = false;
  const onTrace = (/** @type {'lock' | 'plan'} */ trace) => {
    if (!Number.isNaN(traces[trace])) return;
    traces[trace] = performance.now();
    if (trace === since && afterMs !== Infinity) void killAt(traces[trace] + afterMs);
  };
  const killAt = async (/** @type {number} */ due) => {
    await new Promise((resolve) => {
      setTimeout(resolve, Math.max(0, due - performance.now() - TIMER_MS));
    });
    while (!over && performance.now() < due) await nextTurn();
    if (!over) child.kill('SIGKILL');
  };
  const watchers = [
    watch(join(runDir, 'locks'), () => onTrace('lock')),
    watch(join(stateDir, 'plans'), () => onTrace('plan')),
  ];
  const signal = await new Promise((resolve, reject) => {
    child.once('error', reject).once('close', (_, by) => resolve(by));
  });
  over = true;
  const endedAt = performance.now();
  for (const watcher of watchers) watcher.close();
  return {
    killed: signal === 'SIGKILL',
    ms: { lock: endedAt - traces.lock, plan: endedAt - traces.plan },
  };
}

/**
 * How far the last operation had come, by what it left in the journal: `no plan`, `plan opened`, or its last
 * line, `AddDevice do intended`; `all over` where a detach has cleared its records already.
 *
 * @param {string} stateDir
 * @param {'attach' | 'detach'} operation
 */
export function progressOf(stateDir, operation) {
  const plans = readdirSync(join(stateDir, 'plans'))
    .filter((name) => name.endsWith('.jsonl'))
    .map((name) => readFileSync(join(stateDir, 'plans', name), 'utf8').split('\n'))
    .map((lines) => lines.filter((line) => line !== '').map(parseLine));
  const kindOf = (/** @type {any[]} */ [header]) => header?.plan?.kind;
  const mine = plans.find((lines) => kindOf(lines) === operation);
  if (mine === undefined) {
    const attachmentIsThere = plans.some((lines) => kindOf(lines) === 'attach');
    return operation === 'detach' && !attachmentIsThere ? 'all over' : 'no plan';
  }
  const last = mine.at(-1);
  if (mine.length === 1) return 'plan opened';
  if (last === undefined) return 'in the middle of a line';
  if (last.end !== undefined) return `ended ${last.end}`;
  if (last.step === undefined) return Object.keys(last).join();
  return `${mine[0].plan.steps[last.step]?.kind} ${last.turn} ${last.state}`;
}

/** @param {string} line */
function parseLine(line) {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
