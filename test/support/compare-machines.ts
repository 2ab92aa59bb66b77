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
import { comparablePci, peripherals, sorted } from './device-tree.js';
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

/** How many sequences were compared, and what was not the same, in words. */
export interface Compared {
  readonly sequences: number;
  readonly differences: readonly string[];
}

/**
 * Runs a batch on pairs of machines: a further one where a sequence could not be undone for the next, or has
 * come out differently.
 *
 * @param compareFrom compares the sequences of a batch from the given one on, on a pair of its own
 */
export async function inParts(
  batch: Batch,
  compareFrom: (from: number) => Promise<Compared>,
): Promise<Compared> {
  const differences: string[] = [];
  let sequences = 0;
  while (sequences < batch.sequences && differences.length < ENOUGH) {
    const part = await compareFrom(sequences);
    sequences += part.sequences;
    differences.push(...part.differences);
  }
  return { sequences, differences };
}

/** What differs once does so often. */
const ENOUGH = 5;

/** Runs a batch on both. */
export async function compareBatch(batch: Batch): Promise<Compared> {
  const config: QemuConfig = { release: RELEASE_OF[batch.version], ...batch.config };
  return inParts(batch, (from) =>
    onReal(
      config,
      (real) => onSimulated(config, (simulated) => compareFrom(from, batch, real, simulated)),
      batch.version,
    ),
  );
}

async function compareFrom(
  from: number,
  batch: Batch,
  real: Peer,
  simulated: Peer,
): Promise<Compared> {
  const cold = await peripherals(real);
  for (let index = from; index < batch.sequences; index += 1) {
    const name = `${batch.seed} sequence ${index}`;
    const steps = randomSteps(new Random(name), batch.length, { running: false });
    const differences = await compareSteps(real, simulated, steps);
    for (let round = 0; differences.length === 0 && round < 3; round += 1) {
      const left = (await peripherals(real)).filter((path) => !cold.includes(path));
      differences.push(...(await compareSteps(real, simulated, cleaning(left))));
    }
    const named = differences.map((difference) => `${name}: ${difference}`);
    // What does not go would be in the way of the next sequence, and of its reader.
    if (named.length > 0 || (await peripherals(real)).length !== cold.length) {
      return { sequences: index - from + 1, differences: named };
    }
  }
  return { sequences: batch.sequences - from, differences: [] };
}

const cleaning = (paths: readonly string[]): readonly Step[] => [
  ...paths.map((id): Step => ['device_del', { id }]),
  BARRIER,
  ['system_reset'],
  BARRIER,
  ['object-del', { id: 'r0' }],
  ['object-del', { id: 'r1' }],
];

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
export function comparableReply([command]: Step, reply: Reply | undefined): JsonValue {
  if (reply === undefined) return 'no reply';
  if ('error' in reply) return { ...reply.error };
  if (command === 'qom-list') return sorted(reply.return);
  return command === 'query-pci' ? sorted(comparablePci(reply.return)) : reply.return;
}

/** The path to the first place where two values part, with both. */
export function firstDifference(real: unknown, simulated: unknown, path = ''): string {
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

export function show(value: unknown): string {
  return value === undefined ? 'nothing' : stringifyJson(value as JsonValue);
}
