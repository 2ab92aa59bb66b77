import type { Known } from '../../known.js';
import { invertChange, isChanged, type ArgumentChange } from './argument-changes.js';
import { findArguments, listElements, parseArgument, type KernelArgument } from './command-line.js';
import { revertEdit } from './edits/index.js';
import type { SetupFacts } from './facts.js';
import { fingerprint, textOf, withContent, type FileState } from './file-state.js';
import { directoriesOf, type Ledger, type OwnedFile } from './ledger.js';
import { refreshForOwned } from './plan-files.js';
import { commandsFor } from './plan-refresh.js';
import type { Refresh, SetupStep, WriteFile } from './steps.js';
import { diffText } from './text-diff.js';
import type { RefreshName } from './wants/index.js';

/** Something of ours that is not taken back, because somebody else has changed it since. */
export interface RefusedItem {
  readonly id: string;
  readonly reason: string;
  readonly remedy: string;
  readonly diff?: string | undefined;
}

export interface RollbackPlan {
  readonly steps: readonly SetupStep[];
  /** What is taken back, by its id. */
  readonly items: readonly string[];
  readonly refused: readonly RefusedItem[];
}

interface World {
  readonly facts: SetupFacts;
  readonly states: ReadonlyMap<string, Known<FileState>>;
  /** Attributes of sysfs as they are. */
  readonly attributes: ReadonlyMap<string, string>;
  /** Ids that are taken back whatever has become of them. */
  readonly force: ReadonlySet<string>;
}

type Planned =
  | { readonly id: string; readonly step: SetupStep; readonly refresh?: readonly RefreshName[] }
  | { readonly refused: RefusedItem };

/** Takes back what is ours, the latest first. What others have changed since is refused by itself. Pure. */
export function planRollback(ledger: Ledger, world: World): RollbackPlan {
  const planned: readonly Planned[] = [
    ...[...ledger.attributes].map(([path, owned]) => attribute(path, owned, world)),
    ...[...ledger.pairs.values()].map((pair) => ({
      id: pair.action,
      step: { ...pair, remove: true },
    })),
    ...ledger.arguments.map(({ backend, change }) => argument(backend, change, world)),
    ...[...ledger.files.values()].map((owned) => file(owned, world, ledger)),
  ].reverse();
  const done = planned.flatMap((each) => ('step' in each ? [each] : []));
  const names = new Set(done.flatMap(({ refresh = [] }) => refresh));
  const refreshing = [...names].flatMap((name) =>
    commandsFor(name, world.facts).map((argv): Refresh => ({
      kind: 'Refresh',
      action: argv.join(' '),
      argv,
      turn: 'do',
    })),
  );
  return {
    steps: [...done.map(({ step }) => step), ...refreshing],
    items: done.map(({ id }) => id),
    refused: planned.flatMap((each) => ('refused' in each ? [each.refused] : [])),
  };
}

function file(owned: OwnedFile, { states, force }: World, ledger: Ledger): Planned {
  const { path, original } = owned;
  const state = states.get(path);
  if (!state?.known) {
    const reason = state?.reason ?? `${path} was not read`;
    return { refused: { id: path, reason, remedy: 'run as root' } };
  }
  const now = state.value;
  const step = (to: FileState): Planned => {
    const write: WriteFile = {
      kind: 'WriteFile',
      action: path,
      path,
      to,
      expect: fingerprint(now),
      directories: directoriesOf(ledger, path),
    };
    return { id: path, step: write, refresh: refreshForOwned(path, ledger) };
  };
  if ([owned.ours, fingerprint(original)].includes(fingerprint(now))) return step(original);
  if (force.has(path)) {
    if (owned.edit === undefined || now.kind === 'absent') return step(original);
    return step(withContent(now, revertEdit(textOf(now) ?? '', owned.edit)));
  }
  const reason = `${path} was changed by somebody else since we wrote it`;
  const what =
    owned.edit === undefined ? 'throw that change away' : 'take our part out of it alone';
  const remedy = `${what}: qmplug host rollback --force-item ${path}`;
  const diff = diffText(textOf(original) ?? '', textOf(now) ?? '');
  return { refused: { id: path, reason, remedy, diff } };
}

function argument(backend: string, change: ArgumentChange, { facts, force }: World): Planned {
  const id = change.text;
  const { configured, backend: here } = facts.kernelArguments;
  if (here.name !== backend || !configured.known) {
    const reason = configured.known ? `${backend} is not on this host any more` : configured.reason;
    return { refused: { id, reason, remedy: `take ${id} away by hand` } };
  }
  const { words } = configured.value;
  const step = (changes: readonly ArgumentChange[]): Planned => ({
    id,
    step: { kind: 'SetArguments', action: id, backend, changes },
  });
  const inverse = invertChange(change);
  if (isChanged(words, change) || isChanged(words, inverse)) return step([inverse]);
  const key = parseArgument(change.text).key;
  const now = findArguments(words, key).at(-1);
  if (force.has(id) && change.op === 'replace' && now !== undefined) {
    return step([withoutOurs(change, now)]);
  }
  const reason = `we set ${change.text}, and now it is ${now?.text ?? 'gone'}`;
  const remedy = `take our part out of it alone: qmplug host rollback --force-item ${id}`;
  return { refused: { id, reason, remedy } };
}

/** The list without the elements that we added to it. */
function withoutOurs(
  { old, text }: Extract<ArgumentChange, { readonly op: 'replace' }>,
  now: KernelArgument,
): ArgumentChange {
  const elements = (word: KernelArgument) => listElements([word], word.key);
  const before = elements(parseArgument(old));
  const ours = elements(parseArgument(text)).filter((each) => !before.includes(each));
  const left = elements(now).filter((each) => !ours.includes(each));
  if (left.length === 0) return { op: 'remove', text: now.text };
  const key = now.text.slice(0, now.text.indexOf('='));
  return { op: 'replace', old: now.text, text: `${key}=${left.join(',')}` };
}

function attribute(
  path: string,
  { original, ours }: { readonly original: string; readonly ours: string },
  { attributes, force }: World,
): Planned {
  const now = attributes.get(path);
  if (now === undefined) {
    return { refused: { id: path, reason: `${path} cannot be read`, remedy: 'run as root' } };
  }
  if (now !== ours && now !== original && !force.has(path)) {
    const reason = `we wrote ${ours}, and now it reads ${now}`;
    const remedy = `write ${original} all the same: qmplug host rollback --force-item ${path}`;
    return { refused: { id: path, reason, remedy } };
  }
  const step = {
    kind: 'WriteAttribute',
    action: path,
    path,
    value: original,
    expect: now,
  } as const;
  return { id: path, step };
}
