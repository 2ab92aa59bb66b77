// What a scenario of test/replay is recorded on: a real QEMU, and somebody who reads along.
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { connectTransport } from 'qmplug/qmp';
import { recordTransport } from 'qmplug/testing';
import { withStandIn } from './stand-in.mjs';

const STALLED_MS = 20_000;
/** Without a message for so long the controller waits for what only an intervention brings. */
const QUIET_MS = 300;
/** The controller polls after 20 ms (see stillClock); the real time is as good as any. */
const SOON_MS = 20;

/**
 * @typedef {object} RecordedVm
 * @property {string} qmpPath the monitor that is recorded
 * @property {(command: string, args?: Readonly<Record<string, unknown>>) => Promise<unknown>} execute on another
 * @property {import('./guest.mjs').Guest | undefined} [guest]
 */

/**
 * @param {RecordedVm} vm
 * @param {import('./stand-in.mjs').StandIn} [standIn]
 */
export function recordingStage({ qmpPath, execute, guest }, standIn) {
  /** @type {import('qmplug/testing').TranscriptEntry[]} */
  const entries = [];
  /** @type {unknown[]} */
  const faults = [];
  let heardAt = performance.now();
  /** @type {import('../../test/replay/run-scenario.mjs').Stage} */
  const stage = {
    connect: async (onEvent) => {
      const transport = await connectTransport({ kind: 'unix', path: qmpPath });
      const seen = standIn ? withStandIn(transport, standIn) : transport;
      return recordTransport(seen, {
        clock: { now: () => performance.now(), after: () => () => undefined },
        onEntry: (entry) => {
          heardAt = performance.now();
          entries.push(entry);
          if ('event' in entry.msg) onEvent(entry.msg);
        },
        onFault: (error) => faults.push(error),
      });
    },
    intervene: async ({ command, arguments: args, guest: typed }) => {
      if (command !== undefined) await execute(command, args);
      if (typed === undefined) return;
      assert.ok(guest, 'the scenario has no guest');
      const { status, output } = await guest.run(typed);
      assert.equal(status, 0, output);
    },
    quiet: async () => {
      while (performance.now() - heardAt < QUIET_MS) await delay(QUIET_MS / 10);
    },
    orStalled: (promise, what) => {
      const late = new AbortController();
      const timeout = delay(STALLED_MS, undefined, { signal: late.signal }).then(() => {
        throw new Error(`${what} did not come within ${STALLED_MS} ms`);
      });
      timeout.catch(() => undefined);
      return Promise.race([promise, timeout]).finally(() => late.abort());
    },
    soon: (callback) => {
      const timer = setTimeout(callback, SOON_MS);
      return () => clearTimeout(timer);
    },
  };
  return { stage, entries, faults };
}
