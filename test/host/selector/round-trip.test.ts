import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parseJson, stringifyJson } from '../../../src/json.js';
import { formatShort } from '../../../src/host/selector/format-short.js';
import { parseShort } from '../../../src/host/selector/parse-short.js';
import { formatMatch, parseMatch } from '../../../src/host/selector/structured.js';
import { anyExpression } from './any-expression.js';

it('writes the short form so that it reads back the same expression', () => {
  fc.assert(
    fc.property(anyExpression, (expression) => {
      expect(parseShort(formatShort(expression))).toEqual(expression);
    }),
    { numRuns: 500 },
  );
});

it('writes the structured form so that it reads back the same expression', () => {
  fc.assert(
    fc.property(anyExpression, (expression) => {
      const json = parseJson(stringifyJson(formatMatch(expression)));
      expect(parseMatch(json, 'match')).toEqual(expression);
    }),
    { numRuns: 500 },
  );
});

it('writes what it reads, once it is canonical', () => {
  fc.assert(
    fc.property(anyExpression, (expression) => {
      const short = formatShort(expression);
      expect(formatShort(parseShort(short))).toBe(short);
      const structured = formatMatch(expression);
      expect(formatMatch(parseMatch(structured, 'match'))).toEqual(structured);
    }),
  );
});
