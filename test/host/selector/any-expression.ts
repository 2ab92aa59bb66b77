import fc from 'fast-check';
import type { Expression, FieldTest, FlagName } from '../../../src/host/selector/expression.js';
import { FLAGS } from '../../../src/host/selector/fields.js';

const hex = (digits: number) =>
  fc.nat(16 ** digits - 1).map((value) => value.toString(16).padStart(digits, '0'));
const bdf = fc
  .tuple(hex(4), hex(2), fc.nat(0x1f), fc.nat(7))
  .map(
    ([domain, bus, device, fn]) => `${domain}:${bus}:${device.toString(16).padStart(2, '0')}.${fn}`,
  );

const literal = (text: fc.Arbitrary<string>): fc.Arbitrary<FieldTest> =>
  text.map((value): FieldTest => ({ kind: 'text', text: value }));
/** Texts that need quotes, escapes, or both. */
const oddText = fc
  .string({ unit: fc.constantFrom(...' ,|()!"\\/*?[]abcxyz019-._'), minLength: 1, maxLength: 8 })
  .filter((text) => !/^[0-9a-f]+-[0-9a-f]+$/.test(text));
const regex: fc.Arbitrary<FieldTest> = fc
  .constantFrom('nv.*', 'a/b', '[^/]+ (x|y)?', '\\d{1,3}', 'p\\"c', 'a\\|b')
  .map((source) => ({ kind: 'regex', source }));
const glob = (...patterns: string[]): fc.Arbitrary<FieldTest> =>
  fc.constantFrom(...patterns).map((pattern) => ({ kind: 'glob', pattern }));
const range = (digits: number): fc.Arbitrary<FieldTest> =>
  fc
    .tuple(hex(digits), hex(digits))
    .map(([a, b]): FieldTest => ({ kind: 'range', from: a < b ? a : b, to: a < b ? b : a }));

const TESTS: Readonly<Record<string, fc.Arbitrary<FieldTest>>> = {
  bdf: fc.oneof(literal(bdf), glob('0000:01:*.*', '*:0[1-3]:**', '**', '0000:[!0-3]?:00.0'), regex),
  vendor: fc.oneof(literal(hex(4)), glob('10*'), range(4), literal(fc.constant('nvidia'))),
  id: fc.oneof(literal(fc.tuple(hex(4), hex(4)).map((p) => p.join(':'))), glob('10de:*', '*:2204')),
  class: literal(fc.constantFrom('03', '0300', '030200', 'gpu', 'nvme')),
  driver: fc.oneof(literal(oddText), glob('nv*', '* \\*', 'a"?b', '[!a],\\\\*'), regex),
  slot: fc.oneof(literal(oddText), glob('PCIe *'.toLowerCase())),
  numa: literal(fc.constantFrom('-1', '0', '7', 'near')),
  bus: fc.oneof(literal(hex(2)), range(2)),
  bar: literal(fc.constantFrom('16G', '256M', '4097')),
  sriov: literal(fc.constantFrom('pf', 'vf', 'none')),
  file: literal(
    fc
      .array(fc.stringMatching(/^[A-Za-z0-9 ,|()"!:._*?[\]\\-]{1,8}$/), {
        minLength: 1,
        maxLength: 4,
      })
      .map((parts) => parts.filter((part) => !/^\.{1,2}$/.test(part)))
      .filter((parts) => parts.length > 0)
      .map((parts) => `/${parts.join('/')}`),
  ),
  'attr.power/control': literal(oddText),
  'udev.ID_PATH': fc.oneof(literal(oddText), regex),
};

const values: fc.Arbitrary<Expression> = fc.constantFrom(...Object.keys(TESTS)).chain((field) =>
  fc
    .array(fc.record({ negated: fc.boolean(), test: TESTS[field] ?? regex }), {
      minLength: 1,
      maxLength: 3,
    })
    .map((tests): Expression => ({ kind: 'values', field, tests })),
);

const compare: fc.Arbitrary<Expression> = fc.record({
  kind: fc.constant('compare' as const),
  field: fc.constant('bar'),
  op: fc.constantFrom('>', '>=', '<', '<=', '='),
  operand: fc.constantFrom('16G', '1', '256M'),
});

const term: fc.Arbitrary<Expression> = fc.oneof(
  { weight: 4, arbitrary: values },
  compare,
  fc
    .constantFrom('serial', 'slot', 'udev.ID_SERIAL')
    .map((field): Expression => ({ kind: 'has', field })),
  fc
    .constantFrom(...(Object.keys(FLAGS) as FlagName[]))
    .map((flag): Expression => ({ kind: 'flag', flag })),
);

/** Every shape an expression can have, with canonical values. */
export const anyExpression: fc.Arbitrary<Expression> = fc.letrec<{ tree: Expression }>((tie) => ({
  tree: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    term,
    fc.record({
      kind: fc.constantFrom('and' as const, 'or' as const),
      of: fc.array(tie('tree'), { minLength: 2, maxLength: 4 }),
    }),
    fc.record({ kind: fc.constant('not' as const), of: tie('tree') }),
    fc.record({ kind: fc.constant('pf-of' as const), of: tie('tree') }),
  ),
})).tree;
