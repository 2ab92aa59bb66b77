/** One value of a term, in canonical spelling. */
export type FieldTest =
  /** The whole text, whatever characters it has. */
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'glob'; readonly pattern: string }
  | { readonly kind: 'regex'; readonly source: string }
  /** Numbers from `from` to `to`, both included, spelled as the field spells them. */
  | { readonly kind: 'range'; readonly from: string; readonly to: string };

export interface ListedTest {
  readonly negated: boolean;
  readonly test: FieldTest;
}

export type CompareOp = '>' | '>=' | '<' | '<=' | '=';

export type FlagName = 'vf' | 'pf' | 'boot-vga' | 'bound' | 'in-use' | 'reserved' | 'mdev';

/** A term: the smallest thing that is true, false or unknown of a device. */
export type Term =
  /** True where no negated test matches and, if there are others, one of those does. */
  | { readonly kind: 'values'; readonly field: string; readonly tests: readonly ListedTest[] }
  | {
      readonly kind: 'compare';
      readonly field: string;
      readonly op: CompareOp;
      readonly operand: string;
    }
  | { readonly kind: 'has'; readonly field: string }
  | { readonly kind: 'flag'; readonly flag: FlagName }
  /** A virtual function whose physical function is as `of` says. */
  | { readonly kind: 'pf-of'; readonly of: Expression };

/**
 * What a selector asks of a device. The short and the structured form are two spellings of it; each
 * spells every expression in one way.
 */
export type Expression =
  | Term
  | { readonly kind: 'and' | 'or'; readonly of: readonly Expression[] }
  | { readonly kind: 'not'; readonly of: Expression };

/** All of them, or the only one. */
export function allOf(of: readonly [Expression, ...Expression[]]): Expression {
  return of.length === 1 ? of[0] : { kind: 'and', of };
}

/** Any of them, or the only one. */
export function anyOf(of: readonly [Expression, ...Expression[]]): Expression {
  return of.length === 1 ? of[0] : { kind: 'or', of };
}

export function valuesTerm(field: string, ...tests: readonly FieldTest[]): Expression {
  return { kind: 'values', field, tests: tests.map((test) => ({ negated: false, test })) };
}

/** Every term of an expression, those about a physical function included. */
export function termsOf(expression: Expression): readonly Term[] {
  switch (expression.kind) {
    case 'and':
    case 'or':
      return expression.of.flatMap(termsOf);
    case 'not':
      return termsOf(expression.of);
    case 'pf-of':
      return [expression, ...termsOf(expression.of)];
    default:
      return [expression];
  }
}
