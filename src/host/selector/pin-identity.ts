import { allOf, anyOf, valuesTerm, type Expression } from './expression.js';
import type { Pin, PinnedDevice } from './pin.js';

/**
 * The devices of a pin as an expression, for a rule about them: by what they are, wherever they are now. Without a
 * serial number the place on the buses must do.
 */
export function identityOf({ devices: [first, ...others] }: Pin): Expression {
  // A pin has one device at least: `parsePin`.
  return first === undefined ? NOTHING : anyOf([oneOf(first), ...others.map(oneOf)]);
}

const NOTHING: Expression = { kind: 'not', of: { kind: 'has', field: 'kind' } };

function oneOf({ id, subsys, serial, path, bdf }: PinnedDevice): Expression {
  const is = (field: string, text: string | null) =>
    text === null ? [] : [valuesTerm(field, { kind: 'text', text })];
  const [place = valuesTerm('bdf', { kind: 'text', text: bdf })] = [
    ...is('serial', serial),
    ...is('path', path),
  ];
  return allOf([place, ...is('id', id), ...is('subsys', subsys)]);
}
