// npm run soak -- [--mode reset|firmware|acpi-guest|native-guest] [--cycles N] [--json]: attaches and detaches devices of a
// real QEMU through the real controller in one session, cycle after cycle, and looks whether anything stays: in
// our memory, in QEMU's, among its objects, in files, among those who listen. Ends with status 1 where it does.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createEnvironment } from '../build/index.js';
import { makeStateDirectory } from './lab/state-directory.mjs';
import { openCountingVm } from './soak/counting-vm.mjs';
import { SOAK_MODES } from './soak/machines.mjs';
import { compareTraces, memoryGrowth } from './soak/verdict.mjs';
import { listTraces, readMemory } from './soak/watch.mjs';

/** Each with parts of its own in QEMU's tree. */
const DRIVERS = ['virtio-rng-pci', 'pci-testdev', 'virtio-balloon-pci'];
const SAMPLES = 100;
/** The most of a list that is printed. */
const SHOWN = 20;

const { values } = parseArgs({
  options: { mode: { type: 'string' }, cycles: { type: 'string' }, json: { type: 'boolean' } },
});
const mode = modeOf(values.mode ?? 'reset');
const cycles = countOf(values.cycles ?? String(SOAK_MODES[mode].cycles));
const directory = makeStateDirectory('soak');
const machine = await SOAK_MODES[mode].start();
try {
  const verdict = await soak();
  console.log(values.json ? JSON.stringify(verdict) : describe(verdict));
  process.exitCode = verdict.flat ? 0 : 1;
} finally {
  await machine.qemu.kill();
  rmSync(directory, { recursive: true, force: true });
}

async function soak() {
  const [stateDir, runDir] = [join(directory, 'state'), join(directory, 'run')];
  const environment = createEnvironment({
    stateDir,
    runDir,
    onBoundary: ({ kind, at }) => {
      if (kind === 'RemoveDevice' && at === 'after-effect') machine.completeRemoval?.();
    },
  });
  const { vm, listenerCount } = await openCountingVm(machine.qemu.qmpPath, environment);
  const look = () =>
    listTraces({ qemu: machine.qemu, directories: [stateDir, runDir], listenerCount });
  const cycle = async (/** @type {number} */ number) => {
    const id = number > 0 ? `soak${number}` : `first${-number}`;
    const driver = DRIVERS[Math.abs(number) % DRIVERS.length];
    await vm.attach({ id, emulate: { driver } });
    await machine.guestHas(1);
    const { removals } = await vm.detach(id, { timeoutMs: 60_000 });
    if (removals[0]?.state !== 'unplugged') {
      throw new Error(`cycle ${number}: ${id} is ${removals[0]?.state}`);
    }
    await machine.guestHas(0);
  };
  for (let number = 1; number <= SOAK_MODES[mode].firstCycles; number += 1) await cycle(-number);
  const before = await look();
  const samples = [];
  const startedAt = performance.now();
  const every = Math.max(1, Math.floor(cycles / SAMPLES));
  for (let number = 1; number <= cycles; number += 1) {
    await cycle(number);
    if (number % every !== 0) continue;
    const sample = { cycle: number, ...(await readMemory(machine.qemu.pid)) };
    samples.push(sample);
    machine.qemu.qmp.events.length = 0;
    if (samples.length % 10 === 0) console.error(progress(sample, startedAt));
  }
  const seconds = (performance.now() - startedAt) / 1000;
  const { stayed, missing } = compareTraces(before, await look());
  const memory = memoryGrowth(samples);
  await vm.close();
  return {
    mode,
    cycles,
    seconds: Math.round(seconds * 10) / 10,
    msPerCycle: Math.round((seconds / cycles) * 10_000) / 10,
    flat: stayed.length + missing.length === 0 && memory.every(({ flat }) => flat),
    memory,
    traceCount: before.length,
    stayed,
    missing,
  };
}

/** @param {import('./soak/watch.mjs').Memory & { cycle: number }} sample @param {number} startedAt */
function progress({ cycle, heap, rss, qemuRss }, startedAt) {
  const perSecond = cycle / ((performance.now() - startedAt) / 1000);
  const sizes = `heap ${mib(heap)}, RSS ${mib(rss)}, QEMU ${mib(qemuRss)} MiB`;
  return `${cycle} of ${cycles} cycles, ${perSecond.toFixed(1)}/s: ${sizes}`;
}

/** @param {Awaited<ReturnType<typeof soak>>} verdict */
function describe({ flat, memory, traceCount, stayed, missing, ...more }) {
  const some = (/** @type {readonly string[]} */ list) => list.slice(0, SHOWN).join('\n  ');
  return [
    `${more.mode}: ${more.cycles} cycles in ${more.seconds} s, ${more.msPerCycle} ms each`,
    ...memory.map(
      (of) =>
        `${of.kind}: ${mib(of.from)} -> ${mib(of.to)} MiB, at most ${mib(of.allowed)} more is flat: ${of.flat}`,
    ),
    `${traceCount} things with a name before; ${stayed.length} more after, ${missing.length} less`,
    ...(stayed.length > 0 ? [`stayed:\n  ${some(stayed)}`] : []),
    ...(missing.length > 0 ? [`missing:\n  ${some(missing)}`] : []),
    flat ? 'nothing leaks' : 'SOMETHING LEAKS',
  ].join('\n');
}

/** @param {number} bytes */
function mib(bytes) {
  return (bytes / 2 ** 20).toFixed(2);
}

/** @param {string} text @returns {keyof typeof SOAK_MODES} */
function modeOf(text) {
  const names = /** @type {(keyof typeof SOAK_MODES)[]} */ (Object.keys(SOAK_MODES));
  const found = names.find((name) => name === text);
  if (found !== undefined) return found;
  console.error(`--mode takes ${names.join(', ')}, not ${JSON.stringify(text)}`);
  process.exit(2);
}

/** @param {string} text */
function countOf(text) {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  console.error(`--cycles takes a whole number above 0, not ${JSON.stringify(text)}`);
  process.exit(2);
}
