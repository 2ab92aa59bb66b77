// npm run bench [command|attach|framer|daemon ...]: the budgets, each measured beside its floor in the same run.
// Timing says something only on a machine that does nothing else. Ends with status 1 where a budget is missed.
import { measureAttach } from './attach.mjs';
import { measureCommand } from './command.mjs';
import { measureDaemon } from './daemon.mjs';
import { measureFramer } from './framer.mjs';
import { printTable } from './measure.mjs';

const MEASUREMENTS = {
  command: measureCommand,
  attach: measureAttach,
  framer: measureFramer,
  daemon: measureDaemon,
};

const chosen = process.argv.slice(2);
const unknown = chosen.find((name) => !Object.hasOwn(MEASUREMENTS, name));
if (unknown !== undefined) {
  console.error(`no measurement ${unknown}; there are ${Object.keys(MEASUREMENTS).join(', ')}`);
  process.exit(2);
}
/** @type {import('./measure.mjs').Figure[]} */
const figures = [];
for (const [name, measure] of Object.entries(MEASUREMENTS)) {
  if (chosen.length > 0 && !chosen.includes(name)) continue;
  console.error(`measuring: ${name}`);
  figures.push(...[await measure()].flat());
}
printTable(figures);
process.exitCode = figures.every(({ holds }) => holds) ? 0 : 1;
