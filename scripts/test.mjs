// Runs the tiers one after the other, counts their tests and names what could not run.
//
//   npm test -- [--no-install] [--tier NAME[,NAME...]] [--ci] [--summary FILE] [arguments of vitest]
//
// --ci (or CI=true) makes a tier that cannot run, and a test that was skipped, a failure. --summary
// writes the counts as JSON.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { failuresOf, printFailures } from './test-failures.mjs';
import { TIERS } from './test-tiers.mjs';

/** @typedef {{ name: string, passed: number, failed: number, skipped: number, seconds: number, failures?: import('./test-failures.mjs').Failure[], cannot?: string }} Result */

const { tiers, noInstall, ci, summaryFile, vitestArgs } = readArguments();
const results = runAll();
report(results);
// Under CI they are printed after its own table, which is the last that a reader of it sees.
if (!summaryFile) printFailures(results.flatMap(({ failures }) => failures ?? []));
const failed = results.reduce((sum, result) => sum + result.failed, 0);
if (summaryFile) writeFileSync(summaryFile, JSON.stringify({ results }));
process.exitCode = failed > 0 ? 1 : 0;

function readArguments() {
  const { values, tokens } = parseArgs({
    strict: false,
    tokens: true,
    options: {
      tier: { type: 'string', multiple: true },
      'no-install': { type: 'boolean' },
      ci: { type: 'boolean' },
      summary: { type: 'string' },
    },
  });
  const own = new Set(['tier', 'no-install', 'ci', 'summary']);
  const names = values.tier?.flatMap((value) => String(value).split(','));
  const unknown = names?.find((name) => !TIERS.some((tier) => tier.name === name));
  if (unknown !== undefined) {
    console.error(`no tier ${unknown}; there are ${TIERS.map(({ name }) => name).join(', ')}`);
    process.exit(2);
  }
  const ownIndexes = new Set(
    tokens.flatMap((token) =>
      token.kind === 'option' && own.has(token.name)
        ? [
            token.index,
            ...(token.value !== undefined && !token.inlineValue ? [token.index + 1] : []),
          ]
        : [],
    ),
  );
  return {
    tiers: names ? TIERS.filter(({ name }) => names.includes(name)) : TIERS,
    // `npm test --no-install`, without the dashes in between, arrives as npm's own setting.
    noInstall: values['no-install'] === true || process.env.npm_config_install === '',
    ci: values.ci === true || process.env.CI === 'true',
    summaryFile: typeof values.summary === 'string' ? values.summary : undefined,
    vitestArgs: process.argv.slice(2).filter((_, index) => !ownIndexes.has(index)),
  };
}

/** @returns {Result[]} */
function runAll() {
  const needs = ['npm', ...new Set(tiers.flatMap(({ setUp }) => setUp))];
  const setUp = runStep('set-up', [
    'bash',
    'scripts/setup.sh',
    ...(noInstall ? ['--no-install'] : []),
    ...needs,
  ]);
  if (setUp.failed > 0 && noInstall) return [setUp];
  // What could not be installed keeps some tiers from running, which they will say themselves.
  if (!ci) setUp.failed = 0;
  const build = runStep('build', ['npm', 'run', '--silent', 'build']);
  return [setUp, build, ...tiers.map(runTier)];
}

/** @param {string} name @param {readonly string[]} argv @returns {Result} */
function runStep(name, [command = '', ...args]) {
  const start = performance.now();
  const ok = spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'] }).status === 0;
  if (!ok) console.error(`\n${name} FAILED`);
  return { name, passed: 0, failed: ok ? 0 : 1, skipped: 0, seconds: since(start) };
}

/** @param {import('./test-tiers.mjs').Tier} tier @returns {Result} */
function runTier({ name, missing }) {
  const reasons = missing();
  if (reasons.length > 0) {
    const cannot = reasons.join('; ');
    console.error(`\n*** CANNOT RUN the tier ${name}: ${cannot}`);
    return { name, passed: 0, failed: ci ? 1 : 0, skipped: 0, seconds: 0, cannot };
  }
  console.log(`\n--- ${name}`);
  const directory = mkdtempSync(join(tmpdir(), 'qmplug-test-'));
  try {
    return runVitest(name, join(directory, 'results.json'));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** @param {string} name @param {string} output @returns {Result} */
function runVitest(name, output) {
  const start = performance.now();
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${output}`];
  // A filter may leave a tier without tests; without one that is a mistake.
  const empty = vitestArgs.length > 0 ? ['--passWithNoTests'] : [];
  const { status } = spawnSync(
    process.execPath,
    [
      'node_modules/vitest/vitest.mjs',
      'run',
      '--project',
      name,
      ...reporters,
      ...empty,
      ...vitestArgs,
    ],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  );
  const files = readResults(output);
  const counts = countTests(files);
  // An error outside of any test fails the run without failing a test.
  const outside = status !== 0 && counts.failed === 0;
  return {
    name,
    passed: counts.passed,
    failed: counts.failed + (outside ? 1 : 0) + (ci ? counts.skipped : 0),
    skipped: counts.skipped,
    seconds: since(start),
    failures: [
      ...failuresOf(name, ci, files),
      ...(outside ? [{ name, message: `vitest ended with status ${status}, no test failed` }] : []),
    ],
  };
}

/**
 * Tests by outcome. A file that failed with no failed test in it (it could not be loaded, or a hook
 * failed) counts as one failure.
 *
 * @param {ReturnType<typeof readResults>} files
 */
function countTests(files) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const file of files) {
    const of = (/** @type {string} */ status) =>
      file.assertionResults.filter((test) => test.status === status).length;
    const failed = of('failed');
    counts.passed += of('passed');
    counts.failed += failed + (failed === 0 && file.status === 'failed' ? 1 : 0);
    counts.skipped += file.assertionResults.length - of('passed') - failed;
  }
  return counts;
}

/**
 * @param {string} path
 * @returns {{ name?: string, status: string, message?: string,
 *   assertionResults: { status: string, fullName?: string, failureMessages?: string[] | null }[] }[]}
 */
function readResults(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8')).testResults;
  } catch {
    return []; // vitest ended before it could write; its exit status says so
  }
}

/** @param {readonly Result[]} all */
function report(all) {
  console.log('\ntier         passed  failed  skipped  seconds');
  for (const { name, passed, failed: bad, skipped, seconds, cannot } of all) {
    const numbers = [
      String(passed).padStart(6),
      String(bad).padStart(6),
      String(skipped).padStart(7),
      seconds.toFixed(1).padStart(7),
    ];
    console.log(
      `${name.padEnd(11)}  ${numbers.join('  ')}${cannot ? `  CANNOT RUN: ${cannot}` : ''}`,
    );
  }
}

/** @param {number} start */
function since(start) {
  return (performance.now() - start) / 1000;
}
