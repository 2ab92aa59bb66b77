// Everything that must hold before a change goes in; `.ci/run` calls it. Ends with a line of its own,
// `N passed, N failed`: tests of all tiers, and one for each check besides.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { printFailures } from './test-failures.mjs';

const MINUTE = 60_000;
const directory = mkdtempSync(join(tmpdir(), 'qmplug-ci-'));
const summary = join(directory, 'summary.json');
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));

/** Each with the longest it may take; together they stay below 90 minutes. */
const CHECKS = [
  { name: 'set-up', argv: ['bash', 'scripts/setup.sh'], deadlineMs: 19 * MINUTE },
  { name: 'lint', argv: ['npm', 'run', '--silent', 'lint'], deadlineMs: 3 * MINUTE },
  { name: 'format', argv: ['npm', 'run', '--silent', 'format:check'], deadlineMs: 1 * MINUTE },
  { name: 'types', argv: ['npm', 'run', '--silent', 'typecheck'], deadlineMs: 2 * MINUTE },
  { name: 'package', argv: ['npm', 'run', '--silent', 'test:package'], deadlineMs: 4 * MINUTE },
];
const TEST = { argv: ['npm', 'test', '--', '--ci', '--summary', summary], deadlineMs: 60 * MINUTE };

/** @typedef {import('./test-failures.mjs').Failure} Failure */
/** @type {{ name: string, passed: number, failed: number, seconds: number, failures?: Failure[] }[]} */
const rows = [];
for (const { name, argv, deadlineMs } of CHECKS) {
  console.log(`\n=== ${name}: ${argv.join(' ')}`);
  const { ok, seconds } = await run(argv, deadlineMs);
  rows.push({ name, passed: ok ? 1 : 0, failed: ok ? 0 : 1, seconds });
}
console.log(`\n=== tests: ${TEST.argv.join(' ')}`);
rows.push(...testRows(await run(TEST.argv, TEST.deadlineMs)));

console.log('\ncheck or tier  passed  failed  seconds');
for (const { name, passed, failed, seconds } of rows) {
  const numbers = [passed, failed].map((count) => String(count).padStart(6)).join('  ');
  console.log(`${name.padEnd(13)}  ${numbers}  ${seconds.toFixed(1).padStart(7)}`);
}
printFailures(rows.flatMap(({ failures }) => failures ?? []));
const sum = (/** @type {'passed' | 'failed'} */ key) =>
  rows.reduce((total, row) => total + row[key], 0);
console.log(`${sum('passed')} passed, ${sum('failed')} failed`);
process.exitCode = sum('failed') > 0 ? 1 : 0;

/**
 * Runs a check in a process group of its own, and ends the whole group at its deadline.
 *
 * @param {readonly string[]} argv
 * @param {number} deadlineMs
 * @returns {Promise<{ ok: boolean, seconds: number }>}
 */
async function run([command = '', ...args], deadlineMs) {
  const start = performance.now();
  const child = spawn(command, args, {
    stdio: ['ignore', 'inherit', 'inherit'],
    detached: true,
    env: { ...process.env, CI: 'true' },
  });
  const endGroup = () => void (child.pid && process.kill(-child.pid, 'SIGKILL'));
  const abort = () => {
    endGroup();
    process.exit(130);
  };
  // The group is not the terminal's, so an interrupt does not reach it by itself.
  process.once('SIGINT', abort).once('SIGTERM', abort);
  const timer = setTimeout(() => {
    console.error(
      `\n*** not done after ${deadlineMs / MINUTE} minutes: ${command} ${args.join(' ')}`,
    );
    endGroup();
  }, deadlineMs);
  const status = await new Promise((resolve) => {
    child.once('error', () => resolve(127)).once('exit', resolve);
  });
  clearTimeout(timer);
  process.off('SIGINT', abort).off('SIGTERM', abort);
  return { ok: status === 0, seconds: (performance.now() - start) / 1000 };
}

/** @param {{ ok: boolean, seconds: number }} outcome */
function testRows({ ok, seconds }) {
  const results = readSummary();
  const failed = results.some((/** @type {{ failed: number }} */ result) => result.failed > 0);
  // A run that broke down without a failed test to show for it is a failure all the same.
  if (ok || failed) return results;
  return [...results, { name: 'npm test', passed: 0, failed: 1, seconds }];
}

function readSummary() {
  try {
    return JSON.parse(readFileSync(summary, 'utf8')).results;
  } catch {
    return [];
  }
}
