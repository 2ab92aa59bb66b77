import { InputError } from '../../errors.js';
import { excerpt } from '../../text.js';

/**
 * A selector that cannot be read.
 *
 * @param position characters into `text`, where the trouble begins.
 */
export function syntaxError(
  text: string,
  position: number,
  problem: string,
  remedy = 'see docs/selectors.md; an address is a selector too: 0000:3b:00.0',
): InputError {
  return new InputError('SYNTAX', `Selector ${quote(text)}, position ${position}: ${problem}`, {
    remedy,
    details: { selector: text, position, problem },
  });
}

const quote = (text: string) => JSON.stringify(excerpt(text, 120));

/** A value that the field does not take; whoever knows where it stood makes a `SYNTAX` error of it. */
export class BadValue extends Error {}
