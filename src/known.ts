/**
 * A fact that was read, or the reason why it could not be. "Could not be read" is never
 * "no": whoever decides on the value must look at both cases.
 */
export type Known<T> =
  { readonly known: true; readonly value: T } | { readonly known: false; readonly reason: string };

export function known<T>(value: T): Known<T> {
  return { known: true, value };
}

/** A fact that could not be read; `reason` completes "unknown because ...". */
export function unknown(reason: string): Known<never> {
  return { known: false, reason };
}

/** The value, or `fallback` where it is unknown. Only for display and for sorting. */
export function orElse<T, F>(fact: Known<T>, fallback: F): T | F {
  return fact.known ? fact.value : fallback;
}
