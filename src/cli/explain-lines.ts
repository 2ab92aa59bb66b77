import {
  escapeControl,
  type Explanation,
  type Known,
  type Candidate,
  type PlannedBinding,
  type Rejection,
} from '../index.js';
import { missingLines, type DeviceLine } from './device-lines.js';
import type { Obstacle } from './obstacles.js';
import type { MissingNeed } from './vfio-needs.js';

export interface GroupMember {
  readonly bdf: string;
  readonly driver: string | null;
}

/** What `--explain` says of one candidate. */
export interface ExplainedCandidate extends Rejection {
  readonly verdict: 'chosen' | 'matches' | 'rejected';
  readonly group: { readonly id: number; readonly members: readonly GroupMember[] } | null;
  /** What stands between it and a VM, and what there is to know; null where the selector does not match it. */
  readonly obstacles: readonly Obstacle[] | null;
  /** What binding it would write; null where the selector does not match it, or it cannot be bound. */
  readonly binding: PlannedBinding | null;
}

/** What is known of the candidates that the selector matches. */
export interface MatchedFacts {
  readonly lines: readonly DeviceLine[];
  readonly bindings: ReadonlyMap<string, PlannedBinding>;
}

/** Each candidate's part in a selection, with its group as it is. */
export function explainCandidates(
  { candidates, chosen }: Explanation,
  all: readonly Candidate[],
  { lines, bindings }: MatchedFacts,
): readonly ExplainedCandidate[] {
  const byName = new Map(all.map((candidate) => [candidate.name, candidate]));
  const obstacles = new Map(
    lines.map(({ candidate, obstacles: each }) => [candidate.name, each] as const),
  );
  const taken = new Set(chosen.map(({ name }) => name));
  return candidates.map((each) => ({
    ...each,
    verdict: taken.has(each.bdf) ? 'chosen' : each.reason === 'not-needed' ? 'matches' : 'rejected',
    group: groupOf(byName.get(each.bdf), byName),
    obstacles: obstacles.get(each.bdf) ?? null,
    binding: bindings.get(each.bdf) ?? null,
  }));
}

function groupOf(
  candidate: Candidate | undefined,
  all: ReadonlyMap<string, Candidate>,
): ExplainedCandidate['group'] {
  if (candidate?.kind !== 'pci') return null;
  const { iommuGroup, companions } = candidate.record;
  if (!iommuGroup.known || iommuGroup.value === undefined || !companions.known) return null;
  const members = [candidate.name, ...companions.value.group].map((bdf): GroupMember => {
    const member = all.get(bdf);
    return { bdf, driver: member === undefined ? null : valueOf(member.record.driver) };
  });
  return { id: iommuGroup.value, members };
}

const valueOf = (fact: Known<string | undefined>) => (fact.known ? (fact.value ?? null) : null);

/**
 * One line a candidate, and below it what holds, what does not, and its group; of one that the selector matches also
 * what would stop an attach, and what binding it would write.
 */
export function renderExplanation(
  explained: readonly ExplainedCandidate[],
  missing: readonly MissingNeed[],
  refusal: Explanation['refusal'],
): string {
  const outcome =
    refusal === undefined ? [] : ['', `${escapeControl(refusal.message)} [${refusal.code}]`];
  return [...explained.flatMap(linesOf), ...outcome, ...missingLines(missing)].join('\n');
}

/** What kept it out by its name is told in the first line. */
function obstacleLines({ obstacles, rule, evidence }: ExplainedCandidate): readonly string[] {
  return (obstacles ?? [])
    .filter((each) => each.reason !== rule || each.evidence !== evidence)
    .map((each) => {
      const what = each.level === 'block' ? 'in the way' : 'to know   ';
      return `    ${what}  ${each.evidence} [${each.reason}]`;
    });
}

function bindingLines({ verdict, binding }: ExplainedCandidate): readonly string[] {
  if (binding === null || verdict === 'rejected') return [];
  const { driver, module, writes } = binding;
  if (writes.length === 0) return [`    to bind     nothing: it is on ${driver}`];
  return [
    ...(module === undefined ? [] : [`modprobe ${module}`]),
    ...writes.map(({ path, value }) => `echo ${value} >${path}`),
  ].map((line) => `    to bind     ${line}`);
}

function linesOf(each: ExplainedCandidate): readonly string[] {
  const { bdf, verdict, reason, rule, evidence, matched, failed, group } = each;
  const why =
    verdict === 'rejected' && failed.length === 0 ? `: ${reason}, ${rule}: ${evidence}` : '';
  const lines = [
    `${bdf}  ${verdict}${why}`,
    ...matched.map((term) => `    yes      ${term}`),
    ...failed.map(({ term, truth, actual }) => `    ${truth.padEnd(7)}  ${term}   (${actual})`),
  ];
  if (group !== null && group.members.length > 1) {
    const members = group.members.map(
      ({ bdf: name, driver }) => `${name} (${driver ?? 'no driver'})`,
    );
    lines.push(`    group ${group.id}: ${members.join(', ')}`);
  }
  return [...lines, ...obstacleLines(each), ...bindingLines(each)].map(escapeControl);
}
