import type { Expression } from './expression.js';
import { compileMatcher, fieldsOf, type Matcher } from './match.js';
import { parseShort } from './parse-short.js';

/** A rule about devices that may or may not be chosen. The first that matches decides. */
export interface Rule {
  /** Stable; what `--allow` names. */
  readonly id: string;
  readonly action: 'allow' | 'deny';
  readonly expression: Expression;
  /** Why; for the reader of a refusal. */
  readonly about: string;
}

export interface CompiledRule extends Rule {
  readonly matcher: Matcher;
}

/**
 * What no VM should get because the host is made of it. Uses (a mounted disk, the management network, the
 * last display) are found by looking and have rules of their own, named by the finding: `in-use.mount`.
 */
const DEFAULTS: readonly (readonly [id: string, selector: string, about: string])[] = [
  ['deny.host-bridge', 'class:0600', 'a host bridge'],
  ['deny.pci-bridge', 'class:0604,0609', 'a PCI bridge'],
  ['deny.isa-bridge', 'class:0601', 'the ISA or LPC bridge'],
  ['deny.smbus', 'class:0c05', 'an SMBus controller'],
  ['deny.iommu', 'class:0806', 'an IOMMU'],
  ['deny.system-bridge', 'class:0602,0603,0605,0606,0607,0608,060a,060b', 'a bridge of the system'],
];

export const DEFAULT_RULES: readonly Rule[] = DEFAULTS.map(([id, selector, about]) => ({
  id,
  action: 'deny',
  expression: parseShort(selector),
  about,
}));

export function compileRules(rules: readonly Rule[]): readonly CompiledRule[] {
  return rules.map((rule) => ({ ...rule, matcher: compileMatcher(rule.expression) }));
}

export function fieldsOfRules(rules: readonly Rule[]): readonly string[] {
  return [...new Set(rules.flatMap(({ expression }) => fieldsOf(expression)))];
}
