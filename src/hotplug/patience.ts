import type { Clock } from '../clock.js';
import { InputError } from '../errors.js';
import type { WaitOptions } from './requests.js';
import type { Patience } from './runner.js';

const DEFAULT_TIMEOUT_MS = 15_000;

/** The patience of a call that begins now. @throws {InputError} `BAD_ARGUMENT` */
export function patienceOf(
  { timeoutMs = DEFAULT_TIMEOUT_MS, signal }: WaitOptions,
  clock: Clock,
): Patience {
  if (!(timeoutMs >= 0)) {
    throw new InputError('BAD_ARGUMENT', `A timeout of ${timeoutMs} ms cannot be waited for`, {
      remedy: 'give milliseconds, 0 or more',
    });
  }
  return { endsAt: clock.now() + timeoutMs, signal };
}
