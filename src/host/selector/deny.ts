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
  /** Whether `--allow` is of no use against it: true of what a policy file denies. */
  readonly final?: boolean | undefined;
}

export interface CompiledRule extends Rule {
  readonly matcher: Matcher;
}

/**
 * What no VM should get because the host is made of it. Uses (a mounted disk, the management network, the
 * last display) are found by looking and have rules of their own, named by the finding: `in-use.mount`.
 */
const SYSTEM_CLASSES: readonly (readonly [
  id: string,
  classes: readonly string[],
  about: string,
])[] = [
  ['deny.host-bridge', ['0600'], 'a host bridge'],
  ['deny.pci-bridge', ['0604', '0609'], 'a PCI bridge'],
  ['deny.isa-bridge', ['0601'], 'the ISA or LPC bridge'],
  ['deny.smbus', ['0c05'], 'an SMBus controller'],
  ['deny.iommu', ['0806'], 'an IOMMU'],
  [
    'deny.system-bridge',
    ['0602', '0603', '0605', '0606', '0607', '0608', '060a', '060b'],
    'a bridge of the system',
  ],
];

export const DEFAULT_RULES: readonly Rule[] = SYSTEM_CLASSES.map(([id, classes, about]) => ({
  id,
  action: 'deny',
  expression: parseShort(`class:${classes.join(',')}`),
  about,
}));

/** The default rule that a class of 24 bits falls under; undefined for what a VM may have. */
export function systemRuleOf(classCode: number): Pick<Rule, 'id' | 'about'> | undefined {
  const digits = (classCode >>> 8).toString(16).padStart(4, '0');
  const [id, , about] = SYSTEM_CLASSES.find(([, classes]) => classes.includes(digits)) ?? [];
  return id === undefined || about === undefined ? undefined : { id, about };
}

export function compileRules(rules: readonly Rule[]): readonly CompiledRule[] {
  return rules.map((rule) => ({ ...rule, matcher: compileMatcher(rule.expression) }));
}

export function fieldsOfRules(rules: readonly Rule[]): readonly string[] {
  return [...new Set(rules.flatMap(({ expression }) => fieldsOf(expression)))];
}
