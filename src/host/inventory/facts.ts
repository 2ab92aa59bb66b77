import { known, unknown, type Known } from '../../known.js';
import { HostIoError } from '../effects.js';

/** The value, or that it is unknown because the host did not tell. */
export async function attempt<T>(read: () => Promise<T>): Promise<Known<T>> {
  try {
    return known(await read());
  } catch (error) {
    if (error instanceof HostIoError) return unknown(error.message);
    throw error;
  }
}

export function mapKnown<T, R>(fact: Known<T>, map: (value: T) => R): Known<R> {
  return fact.known ? known(map(fact.value)) : fact;
}

export function mapBoth<A, B, R>(a: Known<A>, b: Known<B>, map: (a: A, b: B) => R): Known<R> {
  if (!a.known) return a;
  return b.known ? known(map(a.value, b.value)) : b;
}
