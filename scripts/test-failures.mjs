// What a run of tests names at its end: a log that is cut short at its front still says what failed.
import { relative } from 'node:path';

/** @typedef {{ name: string, message: string }} Failure */

/** Enough for a property's seed and path, with its whole counterexample left to the log above. */
const MESSAGE_CHARACTERS = 1_000;

/**
 * The failures among a tier's results: every failed test, every file that failed without one (it could
 * not be loaded, or a hook failed) and, where none may be skipped, every test that did not run.
 *
 * @param {string} tier
 * @param {boolean} noneSkipped
 * @param {readonly { name?: string, status: string, message?: string,
 *   assertionResults: readonly { status: string, fullName?: string, failureMessages?: readonly string[] | null }[] }[]} files
 * @returns {Failure[]}
 */
export function failuresOf(tier, noneSkipped, files) {
  return files.flatMap((file) => {
    const place = `${tier} ${relative('.', file.name ?? 'a file without a name')}`;
    const failed = file.assertionResults.filter(({ status }) => status === 'failed');
    const skipped = file.assertionResults.filter(
      ({ status }) => noneSkipped && status !== 'failed' && status !== 'passed',
    );
    const whole = failed.length === 0 && file.status === 'failed';
    return [
      ...(whole ? [{ name: place, message: shortened(file.message ?? '') }] : []),
      ...[...failed, ...skipped].map(({ status, fullName = '', failureMessages }) => ({
        name: `${place} > ${fullName.trim()}`,
        message: shortened(failureMessages?.join('\n') || status),
      })),
    ];
  });
}

/** @param {readonly Failure[]} failures */
export function printFailures(failures) {
  for (const { name, message } of failures) console.log(`\nFAILED ${name}\n${message}`);
}

/** @param {string} message */
function shortened(message) {
  return message.length > MESSAGE_CHARACTERS
    ? `${message.slice(0, MESSAGE_CHARACTERS)} ... (${message.length} characters in all)`
    : message;
}
