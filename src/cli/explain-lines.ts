import {
  escapeControl,
  type Explanation,
  type Known,
  type Candidate,
  type Rejection,
} from '../index.js';
import { missingLines, type DeviceLine } from './device-lines.js';
import type { MissingNeed } from './vfio-needs.js';

export interface GroupMember {
  readonly bdf: string;
  readonly driver: string | null;
}

/** What `--explain` says of one candidate. */
export interface ExplainedCandidate extends Rejection {
  readonly verdict: 'chosen' | 'matches' | 'rejected';
  readonly group: { readonly id: number; readonly members: readonly GroupMember[] } | null;
}

/** Each candidate's part in a selection, with its group as it is. */
export function explainCandidates(
  { candidates, chosen }: Explanation,
  all: readonly Candidate[],
): readonly ExplainedCandidate[] {
  const byName = new Map(all.map((candidate) => [candidate.name, candidate]));
  const taken = new Set(chosen.map(({ name }) => name));
  return candidates.map((each) => ({
    ...each,
    verdict: taken.has(each.bdf) ? 'chosen' : each.reason === 'not-needed' ? 'matches' : 'rejected',
    group: groupOf(byName.get(each.bdf), byName),
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
 * One line a candidate, and below it what holds, what does not, and its group; of one that the selector takes also
 * what would stop an attach all the same.
 */
export function renderExplanation(
  explained: readonly ExplainedCandidate[],
  host: { readonly lines: readonly DeviceLine[]; readonly missing: readonly MissingNeed[] },
  refusal: Explanation['refusal'],
): string {
  const blocks = new Map(
    host.lines.map(({ candidate, obstacles }) => [
      candidate.name,
      obstacles.filter(({ level }) => level === 'block'),
    ]),
  );
  const outcome =
    refusal === undefined ? [] : ['', `${escapeControl(refusal.message)} [${refusal.code}]`];
  return [
    ...explained.flatMap((each) => [...linesOf(each), ...blockLines(each, blocks)]),
    ...outcome,
    ...missingLines(host.missing),
  ].join('\n');
}

function blockLines(
  { bdf, verdict }: ExplainedCandidate,
  blocks: ReadonlyMap<string, DeviceLine['obstacles']>,
): readonly string[] {
  if (verdict === 'rejected') return [];
  return (blocks.get(bdf) ?? []).map(({ reason, evidence }) =>
    escapeControl(`    in the way  ${evidence} [${reason}]`),
  );
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
  return lines.map(escapeControl);
}
