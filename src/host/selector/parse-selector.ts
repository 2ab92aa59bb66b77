import { InputError } from '../../errors.js';
import { parseJson, type JsonValue } from '../../json.js';
import type { Expression } from './expression.js';
import { isUniversal } from './glob.js';
import { parseShort } from './parse-short.js';
import { parseStructured, withOptions, type RequestOptions } from './parse-structured.js';
import { requestFor, type SelectorRequest } from './request.js';

/**
 * Reads a selector in either form: text that begins with `{` is the structured one.
 *
 * @throws {InputError} `SYNTAX` with the position.
 */
export function parseSelector(text: string): SelectorRequest {
  return text.trimStart().startsWith('{')
    ? parseStructured(readJson(text), text)
    : requestFor(text, parseShort(text));
}

/**
 * Reads a selector with options beside it and alternatives after it; each alternative has the same options.
 *
 * @throws {InputError} `SYNTAX`.
 */
export function parseRequest(
  text: string,
  { orElse = [], ...options }: RequestOptions & { readonly orElse?: readonly string[] | undefined },
): SelectorRequest {
  const request = withOptions(parseSelector(text), options);
  const alternatives = orElse.map((each) => withOptions(parseSelector(each), options));
  return { ...request, orElse: [...request.orElse, ...alternatives] };
}

function readJson(text: string): JsonValue {
  try {
    return parseJson(text);
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new InputError('SYNTAX', `The structured selector is no JSON: ${message}`, {
      cause,
      remedy: 'see docs/selectors.md for the structured form',
      details: { selector: text.slice(0, 200) },
    });
  }
}

/**
 * Whether the selector names its device, as opposed to describing it: one address, UUID or path. Such a
 * device is never passed over for another; what stands against it is told.
 */
export function isExplicit(expression: Expression): boolean {
  if (expression.kind !== 'values' || expression.tests.length !== 1) return false;
  const [only] = expression.tests;
  if (only === undefined || only.negated) return false;
  const { test } = only;
  if (['uuid', 'file'].includes(expression.field)) return test.kind === 'text';
  if (expression.field !== 'bdf') return false;
  return (
    test.kind === 'text' ||
    (test.kind === 'glob' && /^\*:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/.test(test.pattern))
  );
}

/** Whether nothing is asked that any device could lack. */
export function matchesEverything(expression: Expression): boolean {
  switch (expression.kind) {
    case 'and':
      return expression.of.every(matchesEverything);
    case 'or':
      return expression.of.some(matchesEverything);
    case 'values': {
      const isWide = expression.tests.some(
        ({ negated, test }) =>
          !negated &&
          ((test.kind === 'glob' && isUniversal(test.pattern)) ||
            (test.kind === 'regex' && /^\(*(?:\.[*+]\)*[*+?]?)+$/.test(test.source))),
      );
      return isWide && expression.tests.every(({ negated }) => !negated);
    }
    case 'has':
      return ['bdf', 'vendor', 'device', 'id', 'class', 'kind', 'bus', 'domain'].includes(
        expression.field,
      );
    default:
      return false;
  }
}
