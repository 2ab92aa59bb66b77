import { expect } from 'vitest';
import * as qmplug from '../../src/index.js';
import { isJsonObject, parseJson, type JsonObject } from '../../src/json.js';
import { JsonFramer } from '../../src/qmp/framer.js';
import type { QmpTransport } from '../../src/qmp/transport.js';
import * as testing from '../../src/testing.js';
import {
  createPlayer,
  diffMessages,
  type Transcript,
  type TranscriptPlayer,
} from '../../src/testing.js';
import type { Alteration } from './alterations.js';
import { runScenario, type Run, type Stage } from './run-scenario.mjs';
import type { Scenario } from './scenario.mjs';

const library = { ...qmplug, ...testing };

/**
 * Turns of the event loop without a message after which none will come. A replay reads no file and waits for no
 * clock, so nothing but the controller itself can make one; it takes a few dozen turns.
 */
const IDLE_TURNS = 1_000;

/**
 * Runs a scenario on what its transcript says, and checks that it comes out as stated.
 *
 * @param onCommand hears each command of the controller, in order.
 * @throws {TranscriptMismatchError} where the controller said something else, or not everything.
 * @throws {Error} where the controller waits for what does not come, or the outcome is another.
 */
export async function replay(
  scenario: Scenario,
  transcript: Transcript,
  onCommand: (command: JsonObject) => void = () => undefined,
): Promise<void> {
  expectAnswers(transcript);
  const player = createPlayer(transcript);
  let run: Run;
  try {
    run = await runScenario(scenario, library, stageOf(player, onCommand));
  } catch (error) {
    throw player.mismatch ?? error;
  }
  player.finish();
  expect(run.outcomes).toEqual(scenario.steps.map((step) => step.yields));
  expect(run.events).toEqual(scenario.events);
  expect(run.hostAfter).toBe(run.hostBefore);
}

/**
 * Replays each alteration, or one in `every`, and expects a failure; one that names a line, at that line.
 */
export async function expectAllToFail(
  scenario: Scenario,
  alterations: Iterable<Alteration>,
  every = 1,
): Promise<void> {
  let count = 0;
  for (const [index, { what, transcript, line }] of [...alterations].entries()) {
    if (index % every !== 0) continue;
    count += 1;
    const outcome = await replay(scenario, transcript).then(
      () => 'it replayed as if nothing had changed',
      (error: unknown) => error,
    );
    if (line === undefined) expect(outcome, what).toBeInstanceOf(Error);
    else expect(outcome, what).toMatchObject({ code: 'TRANSCRIPT_MISMATCH', details: { line } });
  }
  expect(count).toBeGreaterThan(0);
}

/**
 * Replays once, and expects that each altered command would have failed in its place: up to there everything is as
 * in the unaltered transcript, and what the player compares with its next command is what the controller sent.
 */
export async function expectAllToDiffer(
  scenario: Scenario,
  transcript: Transcript,
  alterations: Iterable<Alteration>,
): Promise<void> {
  const sent: JsonObject[] = [];
  await replay(scenario, transcript, (command) => sent.push(command));
  const commands = [...transcript.entries.keys()].filter(
    (index) => transcript.entries[index]?.dir === 'out',
  );
  expect(sent).toHaveLength(commands.length);
  const sentAt = new Map(commands.map((index, number) => [index + 2, sent[number] ?? {}]));
  let count = 0;
  for (const { what, transcript: altered, line = 0 } of alterations) {
    const expected = altered.entries[line - 2]?.msg ?? {};
    const received = sentAt.get(line);
    expect(received, what).toBeDefined();
    if (diffMessages(expected, received ?? {}).length === 0) expect.fail(`${what} would replay`);
    count += 1;
  }
  expect(count).toBeGreaterThan(0);
}

/** Every command has its answer, and every answer its command. */
function expectAnswers({ entries }: Transcript): void {
  const commands = entries.filter(({ dir }) => dir === 'out');
  const answers = entries.filter(
    ({ dir, msg }) => dir === 'in' && msg.event === undefined && msg.QMP === undefined,
  );
  expect(answers.map(({ msg }) => msg.id)).toEqual(commands.map(({ msg }) => msg.id));
}

function stageOf(player: TranscriptPlayer, onCommand: (command: JsonObject) => void): Stage {
  let messageCount = 0;
  const step = () => {
    messageCount += 1;
  };
  return {
    connect: async (onEvent) => watchPlayer(player, { step, onEvent, onCommand }),
    // What others did is in the transcript.
    intervene: async () => undefined,
    async quiet() {
      let seen = messageCount;
      for (let idle = 0; idle < IDLE_TURNS; idle += 1) {
        if (seen !== messageCount) idle = 0;
        seen = messageCount;
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
    async orStalled(promise, what) {
      const state = { settled: false };
      const settle = () => {
        state.settled = true;
      };
      promise.then(settle, settle);
      let seen = messageCount;
      for (let idle = 0; !state.settled; idle += 1) {
        if (player.mismatch) throw player.mismatch;
        if (seen !== messageCount) idle = 0;
        seen = messageCount;
        if (idle > IDLE_TURNS) throw new Error(`the replay stands still and waits for ${what}`);
        await new Promise((resolve) => setImmediate(resolve));
      }
      return promise;
    },
    soon(callback) {
      const immediate = setImmediate(callback);
      return () => {
        clearImmediate(immediate);
      };
    },
  };
}

/** The player, which delivers a message at a time, with someone who counts and reads along. */
function watchPlayer(
  player: TranscriptPlayer,
  {
    step: onMessage,
    onEvent,
    onCommand,
  }: {
    readonly step: () => void;
    readonly onEvent: (event: JsonObject) => void;
    readonly onCommand: (command: JsonObject) => void;
  },
): QmpTransport {
  const framer = new JsonFramer((text) => {
    const command = parseJson(text);
    if (isJsonObject(command)) onCommand(command);
  });
  return {
    address: player.address,
    send(data) {
      onMessage();
      framer.push(data);
      return player.send(data);
    },
    files: player.files && {
      obstacle: () => Promise.resolve(undefined),
      send: async (data, file) => {
        onMessage();
        framer.push(data);
        await player.files?.send(data, file);
      },
    },
    start(handlers) {
      player.start({
        onData(data) {
          onMessage();
          const text = Buffer.from(data).toString('utf8');
          const msg = text.includes('"event"') ? parseJson(text) : undefined;
          if (isJsonObject(msg) && msg.event !== undefined) onEvent(msg);
          handlers.onData(data);
        },
        onClose(reason) {
          handlers.onClose(reason);
        },
      });
    },
    close() {
      player.close();
    },
  };
}
