import { specOf } from './fields.js';
import { BadValue } from './syntax-error.js';

/** How many devices a selector is to mean. */
export type Policy =
  /** Exactly one; the default, and the only one that is implied. */
  | { readonly kind: 'one' }
  | { readonly kind: 'all' }
  | { readonly kind: 'first' | 'exactly' | 'atleast'; readonly count: number }
  /** Each match with every function of its IOMMU group that is no bridge. */
  | { readonly kind: 'group' }
  /** Each match with the functions of its slot and its companions. */
  | { readonly kind: 'function-set' }
  /** The inner policy for each value that the field has among the matches. */
  | { readonly kind: 'group-by'; readonly field: string; readonly inner: Policy };

const MAX_COUNT = 4096;

/**
 * Reads `one`, `all`, `first:2`, `exactly:2`, `atleast:2`, `group`, `function-set` or
 * `group-by:numa[:first:1]`.
 *
 * @throws {BadValue}
 */
export function parsePolicy(text: string): Policy {
  const [kind = '', argument, ...more] = text.toLowerCase().split(':');
  switch (kind) {
    case 'one':
    case 'all':
    case 'group':
    case 'function-set':
      if (argument !== undefined) throw new BadValue(`${kind} takes no number`);
      return { kind };
    case 'first':
    case 'exactly':
    case 'atleast':
      if (
        !/^[1-9]\d{0,3}$/.test(argument ?? '') ||
        more.length > 0 ||
        Number(argument) > MAX_COUNT
      ) {
        throw new BadValue(`${kind} takes a number, for example ${kind}:2`);
      }
      return { kind, count: Number(argument) };
    case 'group-by': {
      if (argument === undefined || specOf(argument) === undefined) {
        throw new BadValue('group-by takes a field, for example group-by:numa');
      }
      const inner = more.length === 0 ? ({ kind: 'all' } as const) : parsePolicy(more.join(':'));
      if (inner.kind === 'group-by') throw new BadValue('group-by within group-by');
      return { kind, field: argument, inner };
    }
    default:
      throw new BadValue(
        `${JSON.stringify(text)} is no policy: one, all, first:N, exactly:N, atleast:N, group, function-set, group-by:FIELD`,
      );
  }
}

/** `parsePolicy` reads back the same policy. */
export function formatPolicy(policy: Policy): string {
  switch (policy.kind) {
    case 'first':
    case 'exactly':
    case 'atleast':
      return `${policy.kind}:${policy.count}`;
    case 'group-by':
      return `group-by:${policy.field}:${formatPolicy(policy.inner)}`;
    default:
      return policy.kind;
  }
}
