import type { Expression } from './expression.js';
import type { OrderKey } from './order.js';
import type { Policy } from './policy.js';

/** How the VM's NUMA nodes bind the choice; names as in OpenStack Nova's `numa_policy`. */
export type NumaMode = 'required' | 'preferred' | 'legacy' | 'socket';

/** What the chosen device must turn out to be; anything else is `IDENTITY_CHANGED`. */
export interface Expectation {
  readonly vendor?: string | undefined;
  readonly device?: string | undefined;
  readonly subsystem?: string | undefined;
  readonly serial?: string | undefined;
  readonly group?: string | undefined;
  readonly count?: number | undefined;
}

/** A selector with all that may go with it: what to look for, how many, and in which order. */
export interface SelectorRequest {
  /** As it was given, for messages. */
  readonly text: string;
  readonly expression: Expression;
  readonly policy: Policy;
  readonly order: readonly OrderKey[];
  readonly same: readonly string[];
  readonly distinct: readonly string[];
  readonly spread: string | undefined;
  readonly pack: string | undefined;
  /** What comes along beyond the matches. */
  readonly include: readonly ('group' | 'functions' | 'nvswitch')[];
  readonly expect: Expectation | undefined;
  readonly pin: { readonly file: string; readonly follow: boolean } | undefined;
  readonly numa: NumaMode | undefined;
  /** Rules and findings that are passed over by their ids. */
  readonly allow: readonly string[];
  /** Tried one after the other where this one cannot be had. */
  readonly orElse: readonly SelectorRequest[];
}

/** An expression with nothing asked beyond it: policy `one`, order by address. */
export function requestFor(text: string, expression: Expression): SelectorRequest {
  return {
    text,
    expression,
    policy: { kind: 'one' },
    order: [],
    same: [],
    distinct: [],
    spread: undefined,
    pack: undefined,
    include: [],
    expect: undefined,
    pin: undefined,
    numa: undefined,
    allow: [],
    orElse: [],
  };
}
