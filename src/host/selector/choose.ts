import type { Candidate, CandidateSet } from './candidate.js';
import { readField } from './read-field.js';

/** What all chosen devices must have in common, or must not. */
export interface Constraints {
  readonly same: readonly string[];
  readonly distinct: readonly string[];
}

/** Tries before a choice is given up: beyond this no host has devices enough to need more. */
const MAX_TRIES = 100_000;

/**
 * The first `count` candidates, by the order they come in, that meet the constraints together; undefined where
 * no set does.
 */
export function chooseMeeting(
  sorted: readonly Candidate[],
  count: number,
  constraints: Constraints,
  set: CandidateSet,
): readonly Candidate[] | undefined {
  let tries = 0;
  const extend = (chosen: readonly Candidate[], from: number): readonly Candidate[] | undefined => {
    if (chosen.length === count) return chosen;
    for (let at = from; at <= sorted.length - (count - chosen.length); at += 1) {
      tries += 1;
      if (tries > MAX_TRIES) return undefined;
      const next = sorted[at];
      if (next === undefined || !canJoin(chosen, next, constraints, set)) continue;
      const found = extend([...chosen, next], at + 1);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  return extend([], 0);
}

/** Whether a whole set meets the constraints. */
export function meets(
  chosen: readonly Candidate[],
  constraints: Constraints,
  set: CandidateSet,
): boolean {
  return chosen.every((candidate, index) =>
    canJoin(chosen.slice(0, index), candidate, constraints, set),
  );
}

/** What is not known is neither the same as another nor distinct from it. */
function canJoin(
  chosen: readonly Candidate[],
  next: Candidate,
  { same, distinct }: Constraints,
  set: CandidateSet,
): boolean {
  const isSame = same.every((field) => {
    const value = valueOf(field, next, set);
    return value !== undefined && chosen.every((other) => valueOf(field, other, set) === value);
  });
  return (
    isSame &&
    distinct.every((field) => {
      const value = valueOf(field, next, set);
      return value !== undefined && chosen.every((other) => valueOf(field, other, set) !== value);
    })
  );
}

/** The first value of a field; undefined where it has none or is unknown. */
export function valueOf(
  field: string,
  candidate: Candidate,
  set: CandidateSet,
): string | undefined {
  const reading = readField(field, candidate, set);
  return reading.state === 'present' ? reading.texts[0] : undefined;
}

/** Candidates by the value of a field, in the order in which the values come up. */
export function partition(
  field: string,
  sorted: readonly Candidate[],
  set: CandidateSet,
): ReadonlyMap<string, readonly Candidate[]> {
  const parts = new Map<string, Candidate[]>();
  for (const candidate of sorted) {
    const value = valueOf(field, candidate, set) ?? 'none';
    const part = parts.get(value);
    if (part === undefined) parts.set(value, [candidate]);
    else part.push(candidate);
  }
  return parts;
}

/** One of each value in turn. */
export function spreadOver(
  field: string,
  sorted: readonly Candidate[],
  set: CandidateSet,
): readonly Candidate[] {
  const parts = [...partition(field, sorted, set).values()];
  const longest = Math.max(0, ...parts.map(({ length }) => length));
  return Array.from({ length: longest }, (_, round) =>
    parts.flatMap((part) => part[round] ?? []),
  ).flat();
}

/** Those of the value that has the most first. */
export function packInto(
  field: string,
  sorted: readonly Candidate[],
  set: CandidateSet,
): readonly Candidate[] {
  // The sort is stable: equal parts stay in the order in which they came up.
  return [...partition(field, sorted, set).values()].sort((a, b) => b.length - a.length).flat();
}
