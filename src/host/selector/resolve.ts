import { RefusedError } from '../../errors.js';
import { functionOf, reservationKeyOf, type Candidate, type CandidateSet } from './candidate.js';
import {
  chooseMeeting,
  meets,
  packInto,
  partition,
  spreadOver,
  type Constraints,
} from './choose.js';
import type { CompiledRule } from './deny.js';
import { expandMatches } from './expand.js';
import { formatShort } from './format-short.js';
import { compileMatcher, type Verdict } from './match.js';
import { sortCandidates } from './order.js';
import type { Policy } from './policy.js';
import { allKeptOut, ambiguous, noMatch, tooFew, type Rejection } from './refusals.js';
import type { SelectorRequest } from './request.js';

/** What a set of candidates yields for a request. */
export interface Choice {
  /** In the order of the request. */
  readonly chosen: readonly Candidate[];
  /** What comes along with the matches by policy or `include`. */
  readonly companions: readonly Candidate[];
  /** Every other candidate, in numeric order. */
  readonly rejected: readonly Rejection[];
  /** The classes of `group-by`, by the value of the field. */
  readonly classes: ReadonlyMap<string, readonly Candidate[]>;
}

export interface ResolveRules {
  readonly rules: readonly CompiledRule[];
  /** Who asks: what is reserved for this scope is no conflict. */
  readonly scope: string | undefined;
  /** For whom devices may be set aside; undefined asks nothing of holds. */
  readonly owner: string | undefined;
  /** Whether what is set aside for another is kept out. */
  readonly guarded: boolean;
  /** Whether devices that the host uses or that others have reserved are kept out. */
  readonly onlyFree: boolean;
}

interface Matched {
  readonly candidate: Candidate;
  readonly verdict: Verdict;
}

/** Candidates that match an expression, before any rule is asked. */
export function findMatches(request: SelectorRequest, set: CandidateSet): readonly Candidate[] {
  const matcher = compileMatcher(request.expression);
  return set.candidates.filter((candidate) => matcher.judge(candidate, set).truth === 'yes');
}

/**
 * Chooses: matches, asks the rules, sorts, and applies the policy. A pure function of its arguments, so the same
 * snapshot and selector give the same answer everywhere.
 *
 * @throws {RefusedError} `NO_MATCH`, `AMBIGUOUS`, `TOO_FEW`; `DENIED`, `IN_USE`, `CONFLICT` where
 * everything that matches is kept out.
 */
export function choose(request: SelectorRequest, set: CandidateSet, rules: ResolveRules): Choice {
  const matcher = compileMatcher(request.expression);
  const rejected: Rejection[] = [];
  const matches: Matched[] = [];
  for (const candidate of set.candidates) {
    const verdict = matcher.judge(candidate, set);
    if (verdict.truth === 'yes') matches.push({ candidate, verdict });
    else rejected.push(unmatched(candidate, verdict));
  }
  if (matches.length === 0) throw noMatch(request.text, rejected);

  const kept: Rejection[] = [];
  const free = matches.filter(({ candidate, verdict }) => {
    const obstacle = findObstacle(candidate, request, set, rules);
    if (obstacle !== undefined)
      kept.push({ ...obstacle, bdf: candidate.name, matched: verdict.matched, failed: [] });
    return obstacle === undefined;
  });
  if (free.length === 0) throw allKeptOut(request.text, kept);

  const sorted = arrange(
    request,
    free.map(({ candidate }) => candidate),
    set,
  );
  const { chosen, classes } = applyPolicy(request.policy, sorted, request, set);
  const companions = expandMatches(request, chosen, set);
  const taken = new Set([...chosen, ...companions].map(({ name }) => name));
  const left = free
    .filter(({ candidate }) => !taken.has(candidate.name))
    .map(({ candidate, verdict }): Rejection => ({
      bdf: candidate.name,
      reason: 'not-needed',
      rule: `policy ${request.policy.kind}`,
      evidence: 'it matches, and others come before it',
      matched: verdict.matched,
      failed: [],
    }));
  const others = [...rejected, ...kept, ...left].filter(({ bdf }) => !taken.has(bdf));
  const place = new Map(set.candidates.map(({ name }, index) => [name, index]));
  others.sort((a, b) => (place.get(a.bdf) ?? 0) - (place.get(b.bdf) ?? 0));
  return { chosen, companions, rejected: others, classes };
}

function unmatched(candidate: Candidate, verdict: Verdict): Rejection {
  const [first] = verdict.failed;
  return {
    bdf: candidate.name,
    reason: verdict.truth === 'unknown' ? 'unknown' : 'no-match',
    rule: first?.term ?? '',
    evidence: first?.actual ?? '',
    matched: verdict.matched,
    failed: verdict.failed,
  };
}

type Obstacle = Pick<Rejection, 'reason' | 'rule' | 'evidence' | 'final'>;

/** What keeps a device that matches from being chosen; undefined where nothing does. */
export function findObstacle(
  candidate: Candidate,
  request: SelectorRequest,
  set: CandidateSet,
  { rules, scope, owner, guarded, onlyFree }: ResolveRules,
): Obstacle | undefined {
  const allowed = (id: string) => request.allow.includes(id);
  return (
    findDenial(candidate, rules, request.allow, set) ??
    findNumaObstacle(candidate, request, set) ??
    (guarded ? findHold(candidate, set, owner) : undefined) ??
    (onlyFree ? findOccupation(candidate, allowed, set, scope) : undefined)
  );
}

/** The rule that denies a device; undefined where none does, or one before it allows it. */
export function findDenial(
  candidate: Candidate,
  rules: readonly CompiledRule[],
  allow: readonly string[],
  set: CandidateSet,
): Obstacle | undefined {
  for (const { id, action, about, final, matcher } of rules) {
    const { truth } = matcher.judge(candidate, set);
    if (truth === 'no') continue;
    if (action === 'allow' && truth === 'yes') return undefined;
    // Whether a rule that forbids applies must not stay open.
    if (action === 'deny' && (final === true || !allow.includes(id))) {
      const evidence = truth === 'yes' ? about : `${about}, as far as can be told`;
      return { reason: 'denied', rule: id, evidence, ...(final === true ? { final } : {}) };
    }
  }
  return undefined;
}

function findOccupation(
  candidate: Candidate,
  allowed: (id: string) => boolean,
  set: CandidateSet,
  scope: string | undefined,
): Obstacle | undefined {
  const findings = set.uses.get(candidate.name) ?? [];
  const use = findings.find(({ level, reason }) => level === 'block' && !allowed(reason));
  if (use !== undefined) return { reason: 'in-use', rule: use.reason, evidence: use.evidence };
  const key = reservationKeyOf(candidate);
  const holder =
    key.known && key.value !== undefined && set.reservations.known
      ? set.reservations.value.get(key.value)
      : undefined;
  if (holder === undefined || holder.scope === scope) return undefined;
  return { reason: 'reserved', rule: holder.key, evidence: `reserved for ${holder.scope}` };
}

function findHold(
  candidate: Candidate,
  { holds }: CandidateSet,
  owner: string | undefined,
): Obstacle | undefined {
  const key = reservationKeyOf(candidate);
  if (!key.known || key.value === undefined || !holds.known) return undefined;
  const hold = holds.value.get(key.value);
  if (hold === undefined || hold.owner === owner) return undefined;
  return { reason: 'reserved', rule: hold.key, evidence: `held for ${hold.owner}` };
}

function findNumaObstacle(
  candidate: Candidate,
  { numa }: SelectorRequest,
  { vmNodes, records }: CandidateSet,
): Obstacle | undefined {
  if (numa === undefined || numa === 'preferred' || vmNodes === undefined) return undefined;
  const record = functionOf(candidate);
  const node = record?.numaNode.known ? record.numaNode.value : -1;
  if (vmNodes.includes(node)) return undefined;
  if (node < 0 && numa === 'legacy') return undefined;
  if (numa === 'socket') {
    const sockets = [...records.values()].flatMap(({ numaNode, socket }) =>
      numaNode.known && vmNodes.includes(numaNode.value) && socket.known
        ? (socket.value ?? [])
        : [],
    );
    if (record?.socket.known && sockets.includes(record.socket.value ?? -1)) return undefined;
  }
  return {
    reason: 'numa',
    rule: `numa ${numa}`,
    evidence:
      node < 0
        ? 'its NUMA node is not known'
        : `it is on node ${node}, not ${vmNodes.join(' or ')}`,
  };
}

/** `preferred` comes before the user's keys: it says what is best. */
function arrange(
  { order, spread, pack, numa }: SelectorRequest,
  candidates: readonly Candidate[],
  set: CandidateSet,
): readonly Candidate[] {
  const near = numa === undefined ? [] : [{ field: 'distance', descending: false }];
  const sorted = sortCandidates(candidates, [...near, ...order], set);
  if (spread !== undefined) return spreadOver(spread, sorted, set);
  return pack === undefined ? sorted : packInto(pack, sorted, set);
}

interface Applied {
  readonly chosen: readonly Candidate[];
  readonly classes: ReadonlyMap<string, readonly Candidate[]>;
}

const NO_CLASSES: ReadonlyMap<string, readonly Candidate[]> = new Map();

function applyPolicy(
  policy: Policy,
  sorted: readonly Candidate[],
  request: SelectorRequest,
  set: CandidateSet,
): Applied {
  if (policy.kind === 'group-by') {
    const classes = new Map(
      [...partition(policy.field, sorted, set)].map(([value, members]) => [
        value,
        applyPolicy(policy.inner, members, request, set).chosen,
      ]),
    );
    return { chosen: [...classes.values()].flat(), classes };
  }
  return { chosen: pick(policy, sorted, request, set), classes: NO_CLASSES };
}

function pick(
  policy: Exclude<Policy, { kind: 'group-by' }>,
  sorted: readonly Candidate[],
  request: SelectorRequest,
  set: CandidateSet,
): readonly Candidate[] {
  const { text } = request;
  switch (policy.kind) {
    case 'one':
      if (sorted.length > 1) throw ambiguous(text, sorted, set, 1);
      return sorted;
    case 'first': {
      if (sorted.length < policy.count) throw tooFew(text, sorted, policy.count);
      const chosen = chooseMeeting(sorted, policy.count, request, set);
      if (chosen === undefined) throw tooFew(text, sorted, policy.count, describe(request));
      return chosen;
    }
    case 'exactly':
      if (sorted.length < policy.count) throw tooFew(text, sorted, policy.count);
      if (sorted.length > policy.count) throw ambiguous(text, sorted, set, policy.count);
      return checked(sorted, request, set);
    case 'atleast':
      if (sorted.length < policy.count) throw tooFew(text, sorted, policy.count);
      return checked(sorted, request, set);
    case 'all':
    case 'group':
    case 'function-set':
      return checked(sorted, request, set);
  }
}

/** Policies that take every match have no choice left that could meet a constraint. */
function checked(
  sorted: readonly Candidate[],
  request: SelectorRequest,
  set: CandidateSet,
): readonly Candidate[] {
  if (!meets(sorted, request, set)) {
    throw tooFew(request.text, sorted, sorted.length, describe(request));
  }
  return sorted;
}

function describe({ same, distinct }: Constraints): string {
  const parts = [
    ...same.map((field) => `the same ${field}`),
    ...distinct.map((field) => `each another ${field}`),
  ];
  return parts.length === 0 ? '' : ` with ${parts.join(' and ')}`;
}

/** Every candidate's part in a request, whatever comes of the whole. */
export function explainAll(
  request: SelectorRequest,
  set: CandidateSet,
  rules: ResolveRules,
): readonly Rejection[] {
  const matcher = compileMatcher(request.expression);
  return set.candidates.map((candidate): Rejection => {
    const verdict = matcher.judge(candidate, set);
    if (verdict.truth !== 'yes') return unmatched(candidate, verdict);
    const obstacle = findObstacle(candidate, request, set, rules);
    return {
      ...(obstacle ?? matching(request)),
      bdf: candidate.name,
      matched: verdict.matched,
      failed: [],
    };
  });
}

const matching = ({ policy }: SelectorRequest): Obstacle => ({
  reason: 'not-needed',
  rule: `policy ${policy.kind}`,
  evidence: 'it matches',
});

/** A refusal that another selector may make good. */
export function isShortage(error: unknown): error is RefusedError {
  const codes: readonly string[] = [
    'NO_MATCH',
    'TOO_FEW',
    'DENIED',
    'IN_USE',
    'CONFLICT',
    'AMBIGUOUS',
  ];
  return error instanceof RefusedError && codes.includes(error.code);
}

/** The canonical text of what is looked for. */
export function canonicalText({ expression }: SelectorRequest): string {
  return formatShort(expression);
}
