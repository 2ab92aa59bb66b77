import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isJsonObject, parseJson, stringifyJson, type JsonValue } from '../src/json.js';

const refusal = (code: string): unknown => expect.objectContaining({ code });

/** Values in the form that the parser gives them: long integers are bigints, and only those. */
const anyValue: fc.Arbitrary<JsonValue> = fc.letrec<{ value: JsonValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger(),
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 70n }),
    fc.bigInt({ min: -(2n ** 70n), max: -(2n ** 53n) }),
    fc.double({ noNaN: true, noDefaultInfinity: true }).filter((n) => !Number.isInteger(n)),
    fc.string({ unit: 'binary' }),
    fc.array(tie('value')),
    fc.dictionary(fc.oneof(fc.string(), fc.constantFrom('__proto__', 'toString')), tie('value'), {
      noNullPrototype: false,
    }),
  ),
})).value;

describe('parseJson', () => {
  it('undoes stringifyJson for every value, on one line and indented', () => {
    fc.assert(
      fc.property(anyValue, fc.constantFrom(0, 2), (value, indent) => {
        const text = stringifyJson(value, indent);
        expect(stringifyJson(parseJson(text), indent)).toBe(text);
        expect(parseJson(text)).toEqual(parseJson(` ${text}\r\n`));
      }),
    );
  });

  it('reads what JSON.parse reads wherever no integer is long', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        fc.pre(!/\d{16}/.test(text));
        expect(JSON.stringify(parseJson(text))).toBe(JSON.stringify(JSON.parse(text)));
      }),
    );
  });

  it('reads the same on both paths', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        // A long integer anywhere selects the careful reader.
        const both = parseJson(`[${text},9007199254740993]`) as readonly JsonValue[];
        expect(both[0]).toStrictEqual(parseJson(text));
        expect(both[1]).toBe(9007199254740993n);
      }),
    );
  });

  it.each([
    ['18446744073709551615', 18446744073709551615n],
    ['-9223372036854775808', -9223372036854775808n],
    ['9007199254740991', 9007199254740991],
    ['9007199254740992', 9007199254740992n],
    ['-9007199254740992', -9007199254740992n],
    ['0.12345678901234567890', 0.12345678901234568],
    ['1234567890123456789e2', 1234567890123456789e2],
    ['-0', -0],
    ['"1234567890123456789"', '1234567890123456789'],
  ])('reads %s without loss', (text, value) => {
    expect(parseJson(text)).toBe(value);
    expect(parseJson(`{"a": [${text}]}`)).toEqual({ a: [value] });
  });

  it.each(['{"a": {"b": 1}}', '{"a": {"b": 12345678901234567890}}'])(
    'gives the objects of %s no prototype',
    (text) => {
      const outer = parseJson(text);
      if (!isJsonObject(outer) || !isJsonObject(outer.a)) throw new Error('not objects');
      expect(Object.getPrototypeOf(outer)).toBeNull();
      expect(Object.getPrototypeOf(outer.a)).toBeNull();
      expect(outer.constructor).toBeUndefined();
    },
  );

  it.each([
    '{"__proto__": {"polluted": 1}, "n": 1}',
    '{"__proto__": {"polluted": 12345678901234567890}}',
  ])('takes __proto__ for a key like any other in %s', (text) => {
    const value = parseJson(text);
    expect(Object.keys(value as object)).toContain('__proto__');
    expect((value as { polluted?: unknown }).polluted).toBeUndefined();
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  it('keeps the last of equal keys, on both paths', () => {
    expect(parseJson('{"a":1,"b":2,"a":3}')).toEqual({ a: 3, b: 2 });
    expect(parseJson('{"a":1,"a":12345678901234567890}')).toEqual({ a: 12345678901234567890n });
  });

  it.each([
    '',
    ' ',
    '{',
    '[1,]',
    '{"a":1,}',
    '{"a" 1}',
    '{a:1}',
    "{'a':1}",
    '01',
    '+1',
    '1.',
    '.5',
    'nul',
    '[1] 2',
    '"\u0001"',
    '"\\x41"',
    '"open',
    '1e400',
    'NaN',
  ])('refuses %j, alone and beside a long integer', (text) => {
    expect(() => parseJson(text)).toThrow(refusal('SYNTAX'));
    expect(() => parseJson(`[12345678901234567890,${text}]`)).toThrow(refusal('SYNTAX'));
    expect(() => parseJson(`{"a":12345678901234567890,"b":${text}`)).toThrow(refusal('SYNTAX'));
  });

  it('refuses an integer of absurd length at once', () => {
    expect(() => parseJson('9'.repeat(1_000_000))).toThrow(refusal('SYNTAX'));
  });

  it.each(['', '12345678901234567890'])('limits the depth (around %j)', (inner) => {
    const nested = (depth: number) => '['.repeat(depth) + inner + ']'.repeat(depth);
    expect(() => parseJson(nested(1024))).not.toThrow();
    expect(() => parseJson(nested(1025))).toThrow(refusal('SYNTAX'));
    expect(() => parseJson(nested(1_000_000))).toThrow(refusal('SYNTAX'));
  });

  it('never repeats control characters of the text in its message', () => {
    for (const text of ['\u001b[31m{', '[12345678901234567890,\u001b[31m']) {
      expect(() => parseJson(text)).toThrow(
        expect.objectContaining({ message: expect.not.stringContaining('\u001b') as string }),
      );
    }
  });
});

describe('stringifyJson', () => {
  it('writes bigints as integers and leaves undefined members out', () => {
    expect(stringifyJson({ size: 2n ** 64n - 1n, none: undefined, list: [1, null] })).toBe(
      '{"size":18446744073709551615,"list":[1,null]}',
    );
  });

  it('indents like JSON.stringify', () => {
    const value = { a: [1, { b: 'x' }], c: {}, d: [] };
    expect(stringifyJson(value, 2)).toBe(JSON.stringify(value, null, 2));
  });

  it('refuses what JSON cannot say instead of writing null', () => {
    const cycle: JsonValue[] = [];
    cycle.push(cycle);
    const odd = [NaN, Infinity, cycle, (() => 1) as unknown as JsonValue];
    for (const value of odd) {
      expect(() => stringifyJson([value])).toThrow(refusal('BAD_ARGUMENT'));
    }
  });
});
