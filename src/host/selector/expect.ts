import { RefusedError } from '../../errors.js';
import type { Candidate, CandidateSet } from './candidate.js';
import { readField } from './read-field.js';
import type { SelectorRequest } from './request.js';

const FIELDS = [
  ['vendor', 'vendor'],
  ['device', 'device'],
  ['subsystem', 'subsys'],
  ['serial', 'serial'],
  ['group', 'group'],
] as const;

/**
 * Holds the chosen devices to what was expected of each. `group: strict` is a matter of the pin.
 *
 * @throws {RefusedError} `IDENTITY_CHANGED`; what is unknown is not what was expected.
 */
export function checkExpectation(
  { text, expect }: SelectorRequest,
  chosen: readonly Candidate[],
  set: CandidateSet,
): void {
  if (expect === undefined) return;
  if (expect.count !== undefined && chosen.length !== expect.count) {
    throw changed(text, `${expect.count} devices were expected, and ${chosen.length} are chosen`);
  }
  for (const candidate of chosen) {
    for (const [key, field] of FIELDS) {
      const wanted = expect[key];
      if (wanted === undefined || (key === 'group' && wanted === 'strict')) continue;
      const reading = readField(field, candidate, set);
      const actual = reading.state === 'absent' ? [] : reading.texts;
      if (actual.includes(wanted.replace(/^0x/, ''))) continue;
      const shown =
        reading.state === 'unknown' ? `unknown (${reading.reason})` : (actual[0] ?? 'none');
      throw changed(text, `${candidate.name}: ${key} ${wanted} was expected, and it is ${shown}`);
    }
  }
}

function changed(text: string, problem: string): RefusedError {
  return new RefusedError('IDENTITY_CHANGED', `${text}: ${problem}`, {
    remedy: 'see what is there: qmplug devices; then change what is expected',
    details: { selector: text },
  });
}
