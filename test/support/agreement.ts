import type { JsonObject, JsonValue } from '../../src/json.js';
import { connectUnix } from '../../src/qmp/unix-transport.js';
import { argumentsOf, simulateQemu, type QemuConfig } from '../../src/simulator/index.js';
import { RawClient, type Reply } from '../simulator/raw-client.js';
import { readTree } from './device-tree.js';
import { startQemu, type QemuOptions, type QemuVersion } from './qemu.js';

/*
 * The same commands go to a real QEMU and to the simulated one; replies, events and the device tree
 * must be the same. What may differ stands in allowed-differences.json, each with its reason, and nowhere
 * else.
 */

export type Step = readonly [command: string, args?: JsonObject];

/** QEMU answers this only after all pending deletions have been announced. */
export const BARRIER: Step = ['device_add', {}];

export interface Peer {
  readonly client: RawClient;
  /** Waits, letting time pass where time is simulated. */
  readonly wait: <T>(promise: Promise<T>) => Promise<T>;
}

export interface Seen {
  readonly replies: readonly (readonly [Step, Reply])[];
  readonly events: readonly JsonValue[];
  readonly tree: JsonValue;
}

/** Runs the steps and shows what came of them, events since the last such call included. */
export async function runSteps({ client, wait }: Peer, steps: readonly Step[]): Promise<Seen> {
  const replies: (readonly [Step, Reply])[] = [];
  for (const step of steps) {
    const resets = client.events.filter(({ event }) => event === 'RESET').length;
    replies.push([step, await wait(client.command(...step))]);
    if (step[0] === 'system_reset') {
      await wait(
        client.until(() => client.events.filter(({ event }) => event === 'RESET').length > resets),
      );
    }
  }
  await wait(client.command(...BARRIER));
  const events = client.events
    .splice(0)
    .filter(({ event, data }) => !(event === 'RESET' && data.guest === true))
    .map(({ event, data }): JsonObject => ({ event, data }))
    .sort((a, b) => Number(a.event === 'RESET') - Number(b.event === 'RESET'));
  return { replies, events, tree: await readTree({ client, wait }) };
}

/** @param version one of the unpacked versions; left out, the QEMU that is installed */
export async function onReal<T>(
  config: QemuConfig,
  use: (peer: Peer) => Promise<T>,
  version?: QemuVersion,
): Promise<T> {
  await using qemu = await startQemu(realOptions(config, version));
  const client = new RawClient(await connectUnix(qemu.qmpPath));
  await client.negotiate(['oob']);
  return await use({ client, wait: (promise) => promise });
}

/** The helper starts the machine; devices and ports come from the configuration. */
export function realOptions(config: QemuConfig, version?: QemuVersion): QemuOptions {
  const args = argumentsOf({ ...config, monitors: [] });
  return {
    args: args.flatMap((arg, at) => (arg === '-device' ? [arg, args[at + 1] ?? ''] : [])),
    memoryMiB: 256,
    paused: config.startPaused ?? false,
    ...(config.hotplug === undefined ? {} : { hotplug: config.hotplug }),
    ...(version === undefined ? {} : { version }),
  };
}

export async function onSimulated<T>(
  config: QemuConfig,
  use: (peer: Peer) => Promise<T>,
): Promise<T> {
  const simulated = simulateQemu(config);
  const client = new RawClient(simulated.connect());
  await simulated.clock.runUntil(client.negotiate(['oob']));
  return use({ client, wait: (promise) => simulated.clock.runUntil(promise) });
}
