// npm run record: runs every scenario of test/replay on a real QEMU, records what its monitor says, and
// writes fixtures/qmp-transcripts where that has changed.
//
//   node scripts/record-transcripts.mjs [--rewrite] [--qemu VERSION ...] [SCENARIO ...]
//
// VERSION is one of those that scripts/setup.sh unpacks, or `all`; without one, the QEMU that is installed.
// --rewrite writes also what says the same in another order, which a replay may depend on.
// What changed is told as a difference of decisions: times, ids and the number of polls count for nothing.
// Ends with status 1, and writes nothing for that scenario, when one did not come out as it states.
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import * as qmplug from 'qmplug';
import * as testing from 'qmplug/testing';
import { runScenario } from '../test/replay/run-scenario.mjs';
import { SCENARIOS } from '../test/replay/scenarios.mjs';
import { bootGuest } from './lab/guest.mjs';
import { startQemu } from './lab/qemu.mjs';
import { QEMU_VERSIONS } from './lab/qemu-versions.mjs';
import { RecordingHost } from './lab/record-in-host.mjs';
import { recordingStage } from './lab/recording-stage.mjs';

const FIXTURES = join(import.meta.dirname, '../fixtures/qmp-transcripts');
/** What runs each machine; `program` is that of a version, `binary` the installed one. */
const PROGRAM_OF = {
  q35: {},
  pc: { machine: 'pc' },
  virt: { machine: 'virt', program: 'qemu-system-aarch64', binary: 'qemu-system-aarch64' },
  's390-ccw-virtio': {
    machine: 's390-ccw-virtio',
    program: 'qemu-system-s390x',
    binary: 'qemu-system-s390x',
  },
};

const library = { ...qmplug, ...testing };
const { values, positionals: wanted } = parseArgs({
  options: {
    qemu: { type: 'string', multiple: true, default: [] },
    rewrite: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});
const versions = versionsOf(values.qemu);
const strangers = wanted.filter((name) => SCENARIOS.every((scenario) => scenario.name !== name));
assert.deepEqual(strangers, [], 'no such scenario');

/** How often each outcome came. @type {Map<string, number>} */
const summary = new Map();
const recordingHost = new RecordingHost();
for (const version of versions) {
  for (const scenario of SCENARIOS) {
    if (wanted.length > 0 && !wanted.includes(scenario.name)) continue;
    if (version !== undefined && scenario.not?.includes(version)) continue;
    if (scenario.iommufd && version === undefined) continue;
    const outcome = await recordOne(scenario, version);
    summary.set(outcome, (summary.get(outcome) ?? 0) + 1);
  }
}
await recordingHost.close();
console.log([...summary].map(([outcome, count]) => `${count} ${outcome}`).join(', '));

/**
 * @param {import('../test/replay/scenario.mjs').Scenario} scenario
 * @param {import('./lab/qemu-versions.mjs').QemuVersion | undefined} version
 */
async function recordOne(scenario, version) {
  const name = version === undefined ? scenario.name : `${version} ${scenario.name}`;
  const missing = scenario.iommufd && recordingHost.missing();
  if (missing) {
    console.log(`${name}: left out: ${missing}`);
    return 'left out';
  }
  try {
    const { path, transcript } = await record(scenario, version);
    const { outcome, text } = await keep(path, transcript);
    console.log(`${name}: ${text}`);
    return outcome;
  } catch (error) {
    console.error(`${name}: FAILED`, error);
    process.exitCode = 1;
    return 'failed';
  }
}

/**
 * @param {readonly string[]} given
 * @returns {readonly (import('./lab/qemu-versions.mjs').QemuVersion | undefined)[]}
 */
function versionsOf(given) {
  if (given.length === 0) return [undefined];
  if (given.includes('all')) return QEMU_VERSIONS;
  const chosen = QEMU_VERSIONS.filter((version) => given.includes(version));
  assert.equal(chosen.length, given.length, `--qemu takes all, ${QEMU_VERSIONS.join(', ')}`);
  return chosen;
}

/**
 * @param {import('../test/replay/scenario.mjs').Scenario} scenario
 * @param {import('./lab/qemu-versions.mjs').QemuVersion | undefined} version
 */
async function record(scenario, version) {
  const { kind = 'q35', ports = [], hotplug, args = [], guest: modules } = scenario.machine;
  const options = {
    version,
    hotplug,
    ...PROGRAM_OF[kind],
    args: [...ports.flatMap(rootPort), ...args],
  };
  if (scenario.iommufd) {
    return recordingHost.withQemu(version, options, async (vm) => {
      const recorded = await recordingHost.record(scenario.name, vm);
      return finish(scenario, recorded, vm);
    });
  }
  const guest = modules ? await bootGuest({ ...options, modules }) : undefined;
  const qemu = guest?.qemu ?? (await startQemu({ ...options, paused: true }));
  try {
    const { qmpPath, qmp } = qemu;
    const execute = (command, args) => qmp.execute(command, args);
    const { stage, ...recorded } = recordingStage({ qmpPath, execute, guest }, scenario.standIn);
    const run = await runScenario(scenario, library, stage);
    return await finish(scenario, { run, ...recorded }, qemu);
  } finally {
    await qemu.kill();
  }
}

/**
 * Checks that a scenario came out as it states.
 *
 * @param {import('../test/replay/scenario.mjs').Scenario} scenario
 * @param {Pick<ReturnType<typeof recordingStage>, 'entries' | 'faults'> & { run: import('../test/replay/run-scenario.mjs').Run }} recorded
 * @param {Pick<import('./lab/qemu.mjs').Qemu, 'qmp'>} qemu
 */
async function finish(scenario, { run, entries, faults }, qemu) {
  assert.deepEqual(faults, [], 'the session cannot be recorded');
  assert.deepEqual(
    run.outcomes,
    scenario.steps.map((step) => step.yields),
  );
  assert.deepEqual(run.events, scenario.events);
  assert.equal(run.hostAfter, run.hostBefore, 'the host is not as it was');
  assert.deepEqual(await devicesIn(qemu), scenario.leaves);
  const release = await versionOf(qemu);
  const { kind = 'q35' } = scenario.machine;
  const header = {
    qmplug: 1,
    qemu: release,
    machine: kind,
    scenario: scenario.name,
    origin: scenario.standIn ? 'synthetic' : 'recorded',
  };
  const path = join(FIXTURES, release, kind, `${scenario.name}.jsonl`);
  return { path, transcript: { header, entries } };
}

/** Ports sit in slots from 2 on. @param {string} id @param {number} index */
function rootPort(id, index) {
  const slot = index + 2;
  const place = `bus=pcie.0,addr=${slot.toString(16)}.0`;
  return ['-device', `pcie-root-port,id=${id},chassis=${slot},slot=${slot},${place}`];
}

/**
 * Ids in the machine, as its other monitor tells them; ports apart.
 *
 * @param {Pick<import('./lab/qemu.mjs').Qemu, 'qmp'>} qemu
 */
async function devicesIn(qemu) {
  const entries = await qemu.qmp.execute('qom-list', { path: '/machine/peripheral' });
  const isPort = (type) => /^child<(pcie-root-port|xio3130-downstream|pci-bridge)>$/.test(type);
  return entries
    .filter(({ type }) => type.startsWith('child<') && !isPort(type))
    .map(({ name }) => name)
    .sort();
}

/** @param {Pick<import('./lab/qemu.mjs').Qemu, 'qmp'>} qemu */
async function versionOf({ qmp }) {
  const { major, minor, micro } = (await qmp.execute('query-version')).qemu;
  return `${major}.${minor}.${micro}`;
}

/**
 * Writes a transcript unless the fixture says the same already, and says what changed. Times, ids and time
 * stamps differ in every recording and count for nothing.
 *
 * @param {string} path
 * @param {import('qmplug/testing').Transcript} transcript
 */
async function keep(path, transcript) {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text !== undefined) {
    const earlier = testing.parseTranscript(text, path);
    const change = testing.compareTranscripts(inStep(earlier), inStep(transcript));
    if (change === undefined) {
      if (values.rewrite) await writeFile(path, testing.formatTranscript(transcript));
      return { outcome: 'unchanged', text: 'unchanged' };
    }
    await writeFile(path, testing.formatTranscript(transcript));
    const told = `changed (line numbers of the messages in step)\n${change}`;
    return { outcome: 'changed', text: told };
  }
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, testing.formatTranscript(transcript));
  return { outcome: 'new', text: `new, ${transcript.entries.length} messages` };
}

/**
 * The same messages without what is different in every recording: how many commands were on their way when an
 * answer or an event came, and how often somebody polled. Each answer stands right after its command, of
 * polls in a row the last one is kept, and events come after all.
 *
 * @param {import('qmplug/testing').Transcript} transcript
 * @returns {import('qmplug/testing').Transcript}
 */
function inStep({ header, entries }) {
  const commands = entries.filter(({ dir }) => dir === 'out');
  const isEvent = ({ msg }) => 'event' in msg;
  const isPoll = (command) => command?.msg.execute === 'query-pci';
  const dialogue = [];
  for (const entry of entries.filter((each) => each.dir === 'in' && !isEvent(each))) {
    const isGreeting = 'QMP' in entry.msg;
    const command = isGreeting ? undefined : commands.shift();
    if (isPoll(command) && isPoll(dialogue.at(-2))) dialogue.splice(-2);
    dialogue.push(...(command === undefined ? [] : [command]), entry);
  }
  return { header, entries: [...dialogue, ...commands, ...entries.filter(isEvent)] };
}
