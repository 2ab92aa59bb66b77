import { createHash } from 'node:crypto';
import type { Known } from '../../known.js';
import { describeChange, type ArgumentChange } from './argument-changes.js';
import type { DesiredState } from './desired-state.js';
import { changesOf } from './edits/index.js';
import type { SetupFacts } from './facts.js';
import type { FileState } from './file-state.js';
import type { Ledger } from './ledger.js';
import { planArguments } from './plan-arguments.js';
import { planEffects } from './plan-effects.js';
import { pathsOf, planFiles } from './plan-files.js';
import { planGenerated, refreshCommands } from './plan-refresh.js';
import { REFUSED_STATES, type SetupAction, type SetupItem, type SetupPlan } from './plan-types.js';
import type { SetupStep } from './steps.js';
import { collectWishes, type RefreshName } from './wants/index.js';
import { planRuntime } from './plan-runtime.js';
import type { SetupDraft } from './setup-draft.js';

/** What the desired state calls for on this host. Pure. */
export function draftSetup(desired: DesiredState, facts: SetupFacts, ledger: Ledger): SetupDraft {
  const wishes = collectWishes(desired, facts);
  const holdOrphans = wishes.refused.length > 0;
  const planned = planArguments(wishes.arguments, facts, ownedChanges(facts, ledger), holdOrphans);
  const { backend, configured } = facts.kernelArguments;
  const argumentFiles =
    backend.kind === 'file' && configured.known
      ? backend.files(planned.target, configured.value).map((wish) => ({
          ...wish,
          item: 'kernel-arguments',
          refresh: ['boot-menu' as const],
          needsReboot: true,
          risk: 'boot' as const,
        }))
      : [];
  // Where the system is declared, whatever is written is gone at its next switch.
  const isDeclared = backend.kind === 'print' && backend.isDeclared;
  const files = isDeclared ? [] : [...argumentFiles, ...wishes.files];
  return { facts, wishes, ledger, planned, files, paths: pathsOf(files, ledger), holdOrphans };
}

/** The changes of the command line that are ours, wherever the backend keeps them. */
function ownedChanges(facts: SetupFacts, ledger: Ledger): readonly ArgumentChange[] {
  const { backend, configured } = facts.kernelArguments;
  if (backend.kind !== 'file') {
    return ledger.arguments
      .filter((owned) => owned.backend === backend.name)
      .map(({ change }) => change);
  }
  const own =
    ledger.files.has(backend.ownFile ?? '') && configured.known ? configured.value.files : [];
  const added = (own ?? [])
    .filter(({ path }) => path === backend.ownFile)
    .flatMap(({ words }) => words.map(({ text }) => ({ op: 'add' as const, text })));
  const edited = [...ledger.files.values()].flatMap(({ edit }) =>
    edit === undefined ? [] : changesOf(edit),
  );
  return [...added, ...edited];
}

/** Compares with the files as they are. Pure. */
export function planSetup(
  draft: SetupDraft,
  states: ReadonlyMap<string, Known<FileState>>,
): SetupPlan {
  const { facts, wishes, ledger, planned, holdOrphans } = draft;
  const { backend } = facts.kernelArguments;
  const files = planFiles(draft.files, states, ledger, { holdOrphans });
  const commands = backend.kind === 'command' ? commandActions(draft) : { actions: [], steps: [] };
  const runtime = planRuntime(wishes, facts, ledger, holdOrphans);
  const generated = planGenerated(draft, files);
  const refresh = new Set<RefreshName>([...files.refresh, ...generated.refresh]);
  const refreshing = refreshCommands(refresh, facts, files.refresh);
  const steps: readonly SetupStep[] = [
    ...refreshing.before,
    ...files.steps,
    ...commands.steps,
    ...runtime.steps,
    ...refreshing.after,
  ];
  const configured: readonly SetupItem[] = [
    ...wishes.refused.map((refusal) => ({
      id: refusal.item,
      subject: refusal.item,
      ...strip(refusal),
    })),
    ...wishes.satisfied.map(({ item, by }) => ({
      id: item,
      subject: by,
      state: 'foreign-ok' as const,
    })),
    ...planned.items.map((item) => withoutMechanism(item, draft)),
    ...declaredItems(draft),
    ...files.items,
    ...runtime.items,
    ...generated.items,
  ];
  const items = [...configured, ...planEffects(wishes.effects, configured)];
  const actions = [
    ...files.actions,
    ...commands.actions,
    ...runtime.actions,
    ...refreshing.actions,
  ];
  const text = JSON.stringify({ items, steps });
  return {
    hash: createHash('sha256').update(text).digest('hex'),
    backend: backend.name,
    items,
    actions,
    notes: [...wishes.notes, ...backendNotes(draft)],
    needsReboot:
      items.some(({ state }) => state === 'pending-reboot') ||
      actions.some((action) => action.needsReboot),
    steps,
  };
}

/** An argument that has to be set, and that nothing here sets. */
function withoutMechanism(item: SetupItem, { facts, planned }: SetupDraft): SetupItem {
  const { backend } = facts.kernelArguments;
  if (backend.kind !== 'print' || (item.state !== 'missing' && item.state !== 'running-only'))
    return item;
  const reason = `the backend "${backend.name}" writes no kernel arguments`;
  return { ...item, state: 'unmet', reason, remedy: backend.print(planned.todo) };
}

function declaredItems({ facts, wishes }: SetupDraft): readonly SetupItem[] {
  const { backend } = facts.kernelArguments;
  if (backend.kind !== 'print' || !backend.isDeclared) return [];
  return wishes.files.map(({ item, path }) => ({
    id: item,
    subject: path,
    state: 'unmet',
    reason: `the files of this system are declared, and ${path} is not written`,
    remedy: 'declare it in the configuration of the system',
  }));
}

/** Whether apply would have to leave something as it is not wanted. */
export function isRefused(plan: SetupPlan): boolean {
  return plan.items.some(({ state }) => REFUSED_STATES.has(state));
}

function strip({ state, reason, remedy }: Pick<SetupItem, 'state' | 'reason' | 'remedy'>) {
  return { state, reason, remedy };
}

function commandActions({ facts, planned }: SetupDraft): {
  readonly actions: readonly SetupAction[];
  readonly steps: readonly SetupStep[];
} {
  const { backend, configured } = facts.kernelArguments;
  const { todo } = planned;
  if (backend.kind !== 'command' || todo.length === 0 || !configured.known) {
    return { actions: [], steps: [] };
  }
  const action: SetupAction = {
    id: 'kernel-arguments',
    kind: 'SetArguments',
    backend: backend.name,
    current: configured.value.words.map(({ text }) => text).join(' '),
    wanted: todo.map(describeChange).join(', '),
    argv: backend.commands(todo, configured.value),
    needsRoot: true,
    needsReboot: true,
    ownership: 'ours',
    inverse: 'take back exactly these changes',
    risk: 'boot',
  };
  const step = {
    kind: 'SetArguments',
    action: action.id,
    backend: backend.name,
    changes: todo,
  } as const;
  return { actions: [action], steps: [step] };
}

function backendNotes({ facts, planned }: SetupDraft) {
  const { backend, others } = facts.kernelArguments;
  const also =
    others.length === 0 ? [] : [`also here: ${others.join(', ')}; set "backend" to use another`];
  const printed =
    backend.kind === 'print' && planned.todo.length > 0 ? [backend.print(planned.todo)] : [];
  return [...also, ...printed].map((text) => ({ item: 'kernel-arguments', text }));
}
