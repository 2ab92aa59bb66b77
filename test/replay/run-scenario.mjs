// Runs a scenario through the whole controller: planner, interpreter and client.
import { ofAttach, ofDetach, ofError, ofPreview, ofRecovery, ofStatus } from './outcome.mjs';

/** @typedef {import('./scenario.mjs').Scenario} Scenario */
/** @typedef {import('./scenario.mjs').Step} Step */
/** @typedef {import('./scenario.mjs').Intervention} Intervention */
/** @typedef {import('./outcome.mjs').Outcome} Outcome */
/** @typedef {import('../../src/index.js').JsonObject} JsonObject */
/** @typedef {import('../../src/qmp/index.js').QmpTransport} QmpTransport */
/** @typedef {typeof import('../../src/index.js') & typeof import('../../src/testing.js')} Library */

/**
 * @typedef {object} Stage what lies behind the controller: a real QEMU, or a player
 * @property {(onEvent: (event: JsonObject) => void) => Promise<QmpTransport>} connect tells every event of
 * QEMU before the controller has it; called once
 * @property {(intervention: Intervention) => Promise<void>} intervene
 * @property {() => Promise<void>} quiet resolves when the controller only waits
 * @property {<T>(promise: Promise<T>, what: string) => Promise<T>} orStalled rejects when nothing moves
 * any more and the promise is still open
 * @property {(callback: () => void) => () => void} soon calls back later, unless cancelled
 * @property {Host} [host] a real one, where the scenario is recorded on one
 */

/**
 * @typedef {object} Host what of the controller's surroundings is not QEMU
 * @property {import('../../src/index.js').HostEffects} effects
 * @property {import('../../src/index.js').Environment['liveness']} liveness
 * @property {import('../../src/index.js').OpenVmOptions['identity']} identity of QEMU
 * @property {() => string | Promise<string>} snapshot all that must be as it was in the end
 * @property {() => void} stop
 */

/**
 * @typedef {object} Run
 * @property {readonly (Outcome | undefined)[]} outcomes one for each step; undefined for an intervention
 * @property {readonly string[]} events
 * @property {string} hostBefore the host as text; empty without one
 * @property {string} hostAfter
 */

/** The QEMU of every scenario, and the process that the controller takes itself for. */
const QEMU_PID = 4242;
const BOOT_ID = '00000000-0000-4000-8000-000000000000';
const owner = (/** @type {number} */ pid) => ({
  bootId: BOOT_ID,
  pid,
  startTime: '100',
  pidNamespace: 'pid:[1]',
});

/** The longest delay after which the controller asks QEMU again for what no event tells (AwaitGuest). */
const POLL_MS = 20;

/**
 * A clock by which a recording and its replay do the same. It stands still, so that no deadline passes
 * and nobody looks again just because a quarter of a second went by: what goes on, goes on for an
 * answer or an event of QEMU, which a transcript has. The one timer that fires is the short one of
 * whoever polls; how often it polled is in the transcript. A step that shall not wait is given 0 ms.
 *
 * @param {Stage['soon']} soon
 * @returns {import('../../src/index.js').Clock}
 */
function stillClock(soon) {
  return {
    now: () => 0,
    after: (delayMs, callback) => (delayMs <= POLL_MS ? soon(callback) : () => undefined),
  };
}

/**
 * @param {Scenario} scenario
 * @param {Library} library built or in source
 * @param {Stage} stage
 * @returns {Promise<Run>}
 */
export async function runScenario(scenario, library, stage) {
  const events = watchEvents();
  let connected = false;
  const host = stage.host ?? makeHost(scenario, library);
  /** @type {Step | undefined} */
  let current;
  const vm = await stage.orStalled(
    library.openVm('scenario', {
      transport: async () => {
        if (connected) throw oneSessionOnly(library);
        connected = true;
        return stage.connect(events.add);
      },
      identity: host.identity,
      environment: {
        effects: host.effects,
        liveness: host.liveness,
        state: new library.MemoryStore(),
        runtime: new library.MemoryStore(),
        clock: stillClock(stage.soon),
        logger: SILENT,
        onBoundary: async ({ turn, kind, at }) => {
          const { between } = current ?? {};
          if (between?.at === `${turn} ${kind} ${at}`) await intervene(between);
        },
      },
    }),
    'the session',
  );

  const departures = watchEvents();
  vm.onDeparture(({ ids, state }) => {
    if (state !== 'pending') departures.add({ event: 'left', data: { device: ids.join() } });
  });

  /**
   * @template T
   * @param {string | undefined} event
   * @param {() => Promise<T>} work
   */
  const untilEvent = async (event, work) => {
    const seen = event === undefined ? Promise.resolve() : events.wait(event);
    const result = await work();
    await stage.orStalled(seen, `the event ${event}`);
    return result;
  };
  /** @param {Intervention} intervention */
  const intervene = async (intervention) => {
    await untilEvent(intervention.until, () => stage.intervene(intervention));
    const { departs } = intervention;
    if (departs === undefined) return;
    await stage.orStalled(departures.wait(`left ${departs}`), `the departure of ${departs}`);
  };

  /** @type {(Outcome | undefined)[]} */
  const outcomes = [];
  const hostBefore = await host.snapshot();
  for (const [index, step] of scenario.steps.entries()) {
    current = step;
    const { intervention, meanwhile } = step;
    if (intervention !== undefined) {
      await intervene(intervention);
      // What the controller does of itself about it must not mix with the next step.
      await stage.quiet();
      outcomes.push(undefined);
      continue;
    }
    const outcome = await untilEvent(step.until, async () => {
      const outcome = operate(vm, step).catch(ofError);
      // Whoever stops waiting for the intervention first is the one who tells.
      outcome.catch(() => undefined);
      if (meanwhile !== undefined) {
        await stage.quiet();
        await intervene(meanwhile);
      }
      return stage.orStalled(outcome, `step ${index + 1}, ${step.do}`);
    });
    outcomes.push(outcome);
  }
  const { length } = scenario.events;
  await stage.orStalled(events.waitForCount(length), `all of ${scenario.events.join(', ')}`);
  await stage.orStalled(vm.close(), 'the end of the session');
  host.stop();
  return { outcomes, events: events.names, hostBefore, hostAfter: await host.snapshot() };
}

/**
 * @param {import('../../src/index.js').Vm} vm
 * @param {Step} step
 * @returns {Promise<Outcome>}
 */
async function operate(vm, { do: operation, request, what, options }) {
  switch (operation) {
    case 'attach':
      return ofAttach(await vm.attach(present(request), options));
    case 'planAttach':
      return ofPreview(await vm.planAttach(present(request)));
    case 'detach':
      return ofDetach(await vm.detach(present(what), options));
    case 'status':
      return ofStatus(await vm.status(options));
    case 'recover':
      return ofRecovery(await vm.recover(options));
    default:
      throw new Error(`a scenario has no operation ${operation}`);
  }
}

/** @template T @param {T | undefined} value @returns {T} */
function present(value) {
  if (value === undefined) throw new Error('the step of the scenario is incomplete');
  return value;
}

/** A transcript is of one session; a controller that lost it finds nobody there any more.
 * @param {Library} library */
function oneSessionOnly({ ConnectError }) {
  return new ConnectError('CONNECT_FAILED', 'a transcript holds one session');
}

/** The events of QEMU, and who waits for them. */
function watchEvents() {
  /** @type {string[]} */
  const names = [];
  /** @type {Set<() => void>} */
  const waiting = new Set();
  /** How many events the scenario has passed. */
  let passedCount = 0;

  /** @param {() => boolean} isThere @returns {Promise<void>} */
  const waitUntil = (isThere) =>
    new Promise((resolve) => {
      const look = () => {
        if (!isThere()) return;
        waiting.delete(look);
        resolve();
      };
      waiting.add(look);
      look();
    });

  return {
    names,
    /** @param {JsonObject} event */
    add: (event) => {
      names.push(nameEvent(event));
      for (const look of [...waiting]) look();
    },
    /**
     * The next event of this name after the last one that was waited for. It may have come already: a
     * player says what is next as soon as it may.
     *
     * @param {string} name
     */
    wait: (name) =>
      waitUntil(() => {
        const index = names.indexOf(name, passedCount);
        if (index === -1) return false;
        passedCount = index + 1;
        return true;
      }),
    /** @param {number} count */
    waitForCount: (count) => waitUntil(() => names.length >= count),
  };
}

/**
 * `DEVICE_DELETED d0`; with the path where the device has no id, and without either `RESET`.
 *
 * @param {JsonObject} event
 */
function nameEvent({ event, data }) {
  const { device, path } = /** @type {Readonly<Record<string, unknown>>} */ (data ?? {});
  const subject = device ?? path;
  return subject === undefined ? String(event) : `${String(event)} ${String(subject)}`;
}

/** @type {Pick<Host, 'liveness' | 'identity'>} */
const PROCESSES = {
  identity: { kind: 'process', ...owner(QEMU_PID) },
  liveness: {
    self: async () => owner(QEMU_PID + 1),
    isAlive: async () => ({ known: true, value: true }),
  },
};

/**
 * The host of a scenario. A controller that has no business there is stopped at the first touch.
 *
 * @param {Scenario} scenario
 * @param {Library} library
 * @returns {Host}
 */
function makeHost({ host: functions, mdevs: mdev, iommufd }, { createWorld }) {
  if (functions === undefined && mdev === undefined) {
    const touch = (/** @type {unknown} */ _, /** @type {string | symbol} */ method) => {
      throw new Error(`the host was touched: ${String(method)}`);
    };
    /** @type {import('../../src/index.js').HostEffects} */
    const effects = new Proxy(/** @type {any} */ ({}), { get: touch });
    return { ...PROCESSES, effects, snapshot: () => '', stop: () => undefined };
  }
  const world = createWorld({
    seed: 0,
    qemu: [],
    host: {
      functions: functions ?? [],
      ...(iommufd && { cdev: true, loadedModules: ['vfio', 'vfio_pci'] }),
      processes: [{ pid: QEMU_PID, command: 'qemu-system' }],
      ...(mdev && {
        mdevParents: { [mdev.parent]: { [mdev.type]: { capacity: 1, deviceApi: mdev.api } } },
      }),
    },
  });
  if (mdev) world.kernel.mdevs.create(mdev.parent, mdev.type, mdev.uuid);
  const stop = world.clock.automatic();
  const { effects } = world.startController();
  return { ...PROCESSES, effects, snapshot: () => world.snapshot(), stop };
}

const ignore = () => undefined;
const SILENT = { debug: ignore, info: ignore, warn: ignore, error: ignore };
