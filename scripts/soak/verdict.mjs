// What the samples of a soak say.

const MIB = 2 ** 20;

/**
 * What memory may grow by from the settled beginning to the end. Per cycle it is less than any object that a
 * cycle could forget; the rest is what an allocator keeps, or QEMU of a guest's memory once it was touched.
 *
 * @type {Readonly<Record<keyof import('./watch.mjs').Memory, { perCycle: number, once: number }>>}
 */
const ALLOWED = {
  heap: { perCycle: 32, once: MIB / 2 },
  rss: { perCycle: 256, once: 32 * MIB },
  qemuRss: { perCycle: 256, once: 24 * MIB },
};

/** In a run of fewer cycles code is still being compiled at its end: a third of a MiB in five of them, more under load. */
const WARM_CYCLES = 100;
const STILL_COMPILED = MIB;

/** What is the first part of a run: caches fill, code is compiled, a guest touches its memory. */
const WARM_UP = 0.2;
/** The ends of the rest whose medians are compared. */
const END = 0.25;

/**
 * @param {readonly (import('./watch.mjs').Memory & { cycle: number })[]} samples in order
 */
export function memoryGrowth(samples) {
  const settled = samples.slice(Math.floor(samples.length * WARM_UP));
  const size = Math.max(1, Math.floor(settled.length * END));
  const [first, last] = [settled.slice(0, size), settled.slice(-size)];
  const cycles = median(last.map(({ cycle }) => cycle)) - median(first.map(({ cycle }) => cycle));
  const kinds = /** @type {(keyof import('./watch.mjs').Memory)[]} */ (Object.keys(ALLOWED));
  return kinds.map((kind) => {
    const from = median(first.map((sample) => sample[kind]));
    const to = median(last.map((sample) => sample[kind]));
    const compiled = cycles < WARM_CYCLES ? STILL_COMPILED : 0;
    const allowed = ALLOWED[kind].once + ALLOWED[kind].perCycle * cycles + compiled;
    return { kind, from, to, grewBy: to - from, allowed, flat: to - from <= allowed };
  });
}

/**
 * What is in one list and not in the other, each as often as it is.
 *
 * @param {readonly string[]} before
 * @param {readonly string[]} after
 */
export function compareTraces(before, after) {
  return { stayed: without(after, before), missing: without(before, after) };
}

/** @param {readonly string[]} list @param {readonly string[]} others */
function without(list, others) {
  const left = new Map();
  for (const other of others) left.set(other, (left.get(other) ?? 0) + 1);
  return list.filter((item) => {
    const count = left.get(item) ?? 0;
    left.set(item, count - 1);
    return count <= 0;
  });
}

/** @param {readonly number[]} sample */
function median(sample) {
  return [...sample].sort((a, b) => a - b)[Math.floor(sample.length / 2)] ?? NaN;
}
