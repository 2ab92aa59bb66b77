// What the measurements share: numbers of a sample, and a line of the table.

/**
 * @typedef {object} Figure
 * @property {string} name
 * @property {string} ours
 * @property {string} floor what it is measured beside, in the same run
 * @property {string} budget
 * @property {boolean} holds
 */

/** @param {readonly number[]} sample @param {number} share 0 to 1 */
export function quantile(sample, share) {
  const sorted = [...sample].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN;
}

/** @param {readonly number[]} sample */
export const median = (sample) => quantile(sample, 0.5);

/**
 * Milliseconds that `work` takes.
 *
 * @param {() => Promise<unknown> | unknown} work
 */
export async function timed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** @param {readonly Figure[]} figures */
export function printTable(figures) {
  const rows = [
    ['measured', 'ours', 'beside', 'budget', ''],
    ...figures.map(({ name, ours, floor, budget, holds }) => [
      name,
      ours,
      floor,
      budget,
      holds ? 'holds' : 'MISSED',
    ]),
  ];
  const widths = [0, 1, 2, 3, 4].map((column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  for (const row of rows) {
    console.log(
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    );
  }
}
