import { isDeepStrictEqual } from 'node:util';
import { isJsonObject, stringifyJson, type JsonValue } from '../../src/json.js';
import { Random, type QemuConfig, type ReleaseName } from '../../src/simulator/index.js';
import type { Reply } from '../simulator/raw-client.js';
import {
  BARRIER,
  onReal,
  onSimulated,
  runSteps,
  type Peer,
  type Seen,
  type Step,
} from './agreement.js';
import { comparablePci, objects, read, sorted } from './device-tree.js';
import type { QemuVersion } from './qemu.js';
import { randomSteps } from './random-steps.js';

/** The simulator's release for a version of QEMU. */
export const RELEASE_OF = { '7.2': '7.2.22', '10.0': '10.0.13' } as const satisfies Partial<
  Record<QemuVersion, ReleaseName>
>;

/** Sequences on one pair of machines; each after the first finds what cleaning has left. */
export interface Batch {
  readonly version: keyof typeof RELEASE_OF;
  readonly config: QemuConfig;
  readonly seed: string;
  readonly sequences: number;
  readonly length: number;
}

/** Runs a batch on both. @returns what was not the same, in words; empty when all was */
export async function compareBatch(batch: Batch): Promise<readonly string[]> {
  const config: QemuConfig = { release: RELEASE_OF[batch.version], ...batch.config };
  return onReal(
    config,
    (real) => onSimulated(config, (simulated) => compareSequences(batch, real, simulated)),
    batch.version,
  );
}

async function compareSequences(batch: Batch, real: Peer, simulated: Peer) {
  const cold = await peripherals(real);
  for (let index = 0; index < batch.sequences; index += 1) {
    const name = `${batch.seed} sequence ${index}`;
    const steps = randomSteps(new Random(name), batch.length, { running: false });
    const differences = await compareSteps(real, simulated, steps);
    for (let round = 0; differences.length === 0 && round < 3; round += 1) {
      const left = (await peripherals(real)).filter((path) => !cold.includes(path));
      differences.push(...(await compareSteps(real, simulated, cleaning(left))));
    }
    if (differences.length > 0) return differences.map((difference) => `${name}: ${difference}`);
    // What does not go would be in the way of the next sequence, and of its reader.
    if ((await peripherals(real)).length !== cold.length) break;
  }
  return [];
}

const cleaning = (paths: readonly string[]): readonly Step[] => [
  ...paths.map((id): Step => ['device_del', { id }]),
  BARRIER,
  ['system_reset'],
  BARRIER,
  ['object-del', { id: 'r0' }],
  ['object-del', { id: 'r1' }],
];

async function peripherals(peer: Peer): Promise<readonly string[]> {
  const paths: string[] = [];
  for (const container of ['/machine/peripheral', '/machine/peripheral-anon']) {
    for (const { name, type } of objects(await read(peer, 'qom-list', { path: container }))) {
      if (typeof name === 'string' && typeof type === 'string' && type.startsWith('child<')) {
        paths.push(`${container}/${name}`);
      }
    }
  }
  return paths;
}

async function compareSteps(real: Peer, simulated: Peer, steps: readonly Step[]) {
  const [told, given] = await Promise.all([runSteps(real, steps), runSteps(simulated, steps)]);
  return differencesOf(told, given);
}

function differencesOf(real: Seen, simulated: Seen): string[] {
  const differences: string[] = [];
  real.replies.forEach(([step, reply], index) => {
    const told = comparableReply(step, reply);
    const given = comparableReply(step, simulated.replies[index]?.[1]);
    if (isDeepStrictEqual(told, given)) return;
    differences.push(`step ${index} ${show([...step])}: real ${show(told)}, not ${show(given)}`);
  });
  for (const what of ['events', 'tree'] as const) {
    if (isDeepStrictEqual(real[what], simulated[what])) continue;
    differences.push(`${what}: ${firstDifference(real[what], simulated[what])}`);
  }
  return differences;
}

/** Lists in an order of their own, and query-pci without what may differ. */
function comparableReply([command]: Step, reply: Reply | undefined): JsonValue {
  if (reply === undefined) return 'no reply';
  if ('error' in reply) return { ...reply.error };
  if (command === 'qom-list') return sorted(reply.return);
  return command === 'query-pci' ? sorted(comparablePci(reply.return)) : reply.return;
}

/** The path to the first place where two values part, with both. */
function firstDifference(real: unknown, simulated: unknown, path = ''): string {
  if (isContainer(real) && isContainer(simulated)) {
    for (const key of new Set([...Object.keys(real), ...Object.keys(simulated)])) {
      if (isDeepStrictEqual(real[key], simulated[key])) continue;
      return firstDifference(real[key], simulated[key], `${path}/${key}`);
    }
  }
  return `at ${path || '/'} real ${show(real)}, not ${show(simulated)}`;
}

function isContainer(value: unknown): value is Record<string, unknown> {
  return Array.isArray(value) || isJsonObject(value as JsonValue);
}

function show(value: unknown): string {
  return value === undefined ? 'nothing' : stringifyJson(value as JsonValue);
}
