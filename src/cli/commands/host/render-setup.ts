import type { Finding } from '../../../doctor/index.js';
import type { SetupAction, SetupItem, SetupPlan } from '../../../host/setup/index.js';
import { escapeControl } from '../../../index.js';
import { renderFindings } from '../../render-findings.js';
import { renderTable } from '../../table.js';

/** What the doctor finds wrong before and behind a change of the host. */
export interface Examined {
  readonly before: readonly Finding[];
  readonly after: readonly Finding[];
}

/** A plan for people: where everything stands, what would be done, and what cannot be. */
export function renderPlan(plan: SetupPlan, { diff }: { readonly diff: boolean }): string {
  return [
    ...renderItems(plan.items),
    ...(plan.actions.length === 0 ? ['', 'nothing to do'] : ['', 'would do:']),
    ...plan.actions.flatMap((action) => renderAction(action, diff)),
    ...plan.notes.flatMap(({ text }) => ['', ...linesOf(text)]),
    ...(plan.needsReboot ? ['', 'some of it counts from the next boot on'] : []),
    '',
    `plan ${plan.hash}`,
  ].join('\n');
}

export function renderItems(items: readonly SetupItem[]): readonly string[] {
  if (items.length === 0) return ['the desired state calls for nothing'];
  const table = renderTable(
    ['STATE', 'ITEM', 'SUBJECT'],
    items.map(({ state, id, subject }) => [state, id, subject]),
  );
  const reasons = items.flatMap(({ id, reason, remedy, diff }) => [
    ...(reason === undefined ? [] : [escapeControl(`${id}: ${reason}`)]),
    ...(remedy === undefined ? [] : [escapeControl(`  ${remedy}`)]),
    ...(diff === undefined || diff === '' ? [] : linesOf(diff)),
  ]);
  return [...table, ...(reasons.length === 0 ? [] : ['', ...reasons])];
}

/** What is wrong no longer, and what still or now is. */
export function renderExamined({ before, after }: Examined): readonly string[] {
  const still = new Set(after.map(nameOf));
  const gone = before.map(nameOf).filter((name) => !still.has(name));
  return [
    ...(gone.length === 0 ? [] : ['', `the doctor finds no longer: ${gone.join(', ')}`]),
    ...(after.length === 0 ? [] : ['', 'the doctor finds:', renderFindings(after, false)]),
  ];
}

const nameOf = ({ id, device }: Finding) => (device === undefined ? id : `${id} ${device}`);

function renderAction(action: SetupAction, diff: boolean): readonly string[] {
  const { id, kind, wanted, argv = [], fileDiff, risk } = action;
  const marked = risk === 'boot' ? ' (boot)' : '';
  const commands = argv.map((words) => `  ${words.join(' ')}`);
  switch (kind) {
    case 'WriteFile': {
      const verb = action.current === null ? 'make' : wanted === null ? 'remove' : 'change';
      return [escapeControl(`- ${verb} ${id}${marked}`), ...(diff ? linesOf(fileDiff ?? '') : [])];
    }
    case 'WriteAttribute':
      return [escapeControl(`- write ${wanted ?? ''} to ${id}`)];
    case 'SetArguments':
      return [
        escapeControl(`- kernel arguments: ${wanted ?? ''}${marked}`),
        ...commands.map(escapeControl),
      ];
    case 'RunPair':
    case 'Refresh':
    case 'Adopt':
      return [escapeControl(`- run ${argv.map((words) => words.join(' ')).join('; ')}${marked}`)];
  }
}

const linesOf = (text: string): readonly string[] =>
  text === '' ? [] : text.split('\n').map((line) => `    ${escapeControl(line)}`);
