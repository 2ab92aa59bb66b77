import type { Expression, ListedTest } from './expression.js';
import { escapeGlob } from './glob.js';

/**
 * Writes the canonical short form; `parseShort` reads back the same expression.
 */
export function formatShort(expression: Expression): string {
  switch (expression.kind) {
    case 'or':
      return expression.of.map((each) => inside(each, 'or')).join(' | ');
    case 'and':
      return expression.of.map((each) => inside(each, 'and')).join(' ');
    case 'not':
      return `!${inside(expression.of, 'not')}`;
    case 'values':
      return `${expression.field}:${expression.tests.map(formatTest).join(',')}`;
    case 'compare':
      return `${expression.field}${expression.op}${expression.operand}`;
    case 'has':
      return `has:${expression.field}`;
    case 'flag':
      return expression.flag;
    case 'pf-of':
      return `pf-of:(${formatShort(expression.of)})`;
  }
}

/** In parentheses wherever the grammar would read it as something else. */
function inside(expression: Expression, around: 'and' | 'or' | 'not'): string {
  const text = formatShort(expression);
  const binds = { or: 0, and: 1, not: 2 };
  const isGroup = expression.kind === 'and' || expression.kind === 'or';
  const loose = isGroup
    ? binds[expression.kind] <= binds[around]
    : expression.kind === 'not' && around === 'not';
  return loose ? `(${text})` : text;
}

function formatTest({ negated, test }: ListedTest): string {
  return (negated ? '!' : '') + formatValue(test);
}

function formatValue(test: ListedTest['test']): string {
  switch (test.kind) {
    case 'text':
      return quoteIfNeeded(escapeGlob(test.text));
    case 'glob':
      return quoteIfNeeded(test.pattern);
    case 'range':
      return `${test.from}-${test.to}`;
    case 'regex':
      return `/${test.source.replace(/\\[\s\S]|\//g, (part) => (part === '/' ? '\\/' : part))}/`;
  }
}

/** What may stand in a value without quotes. */
export const BARE_VALUE = /^[^\s,|()!"/\\][^\s,|()"\\]*$/;

/** Backslashes are kept: they belong to the pattern inside the quotes. */
function quoteIfNeeded(pattern: string): string {
  return BARE_VALUE.test(pattern) ? pattern : `"${pattern.replace(/"/g, '\\"')}"`;
}
