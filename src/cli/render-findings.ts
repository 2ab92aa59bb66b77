import type { Finding, Verdict } from '../doctor/index.js';
import { escapeControl } from '../index.js';

const ORDER: readonly Verdict[] = ['fail', 'warn', 'unknown', 'skip', 'ok'];

/** Findings for people, by subject: those that want something, or all of them; at the end how many of each. */
export function renderFindings(findings: readonly Finding[], all: boolean): string {
  const told = findings.filter(({ verdict }) => all || (verdict !== 'ok' && verdict !== 'skip'));
  const subjects = [...new Set(told.map(({ subject }) => subject))];
  const blocks = subjects.flatMap((subject) => [
    subject,
    ...told.filter((each) => each.subject === subject).flatMap(linesOf),
    '',
  ]);
  return [...blocks, summary(findings)].join('\n');
}

function linesOf(finding: Finding): readonly string[] {
  const { id, verdict, why, read, remedy, device } = finding;
  const values = read.map(({ path, value }) => `${path}: ${value}`).join('; ');
  const about = device === undefined ? id : `${id} ${device}`;
  const parts = [`  ${verdict.padEnd(7)}  ${about}: ${why}`, values === '' ? '' : ` (${values})`];
  const line = escapeControl(parts.join(''));
  return remedy === undefined ? [line] : [line, `           ${escapeControl(remedy)}`];
}

function summary(findings: readonly Finding[]): string {
  const counts = ORDER.map((verdict) => ({
    verdict,
    count: findings.filter((each) => each.verdict === verdict).length,
  })).filter(({ count }) => count > 0);
  return counts.map(({ verdict, count }) => `${count} ${verdict}`).join(', ') || 'nothing to check';
}
