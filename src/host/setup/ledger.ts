import type { JournalEntry } from '../../engine/index.js';
import { invertChange, type ArgumentChange } from './argument-changes.js';
import type { FileEdit } from './edits/index.js';
import { ABSENT, fingerprint, type FileState } from './file-state.js';
import type { FileRecord } from './handlers/index.js';
import type { RunPair, SetupStep, WriteFile } from './steps.js';

/** What plans of set-up are about, for those who read the journal. */
export interface SetupSubject {
  /** The machine whose set-up it is: content of /etc/machine-id, empty in an image. */
  readonly machineId: string;
  readonly root: string;
}

export type SetupEntry = JournalEntry<SetupStep, SetupSubject>;

export interface OwnedFile {
  readonly path: string;
  readonly action: string;
  /** What was there before we first wrote it. */
  readonly original: FileState;
  /** Fingerprint of what we wrote last. */
  readonly ours: string;
  readonly edit: FileEdit | undefined;
}

/** What is ours in the host's set-up: the fold of the journal. */
export interface Ledger {
  readonly files: ReadonlyMap<string, OwnedFile>;
  /** Directories that we made and that may still be there: a later file of ours may lie in an earlier one's. */
  readonly directories: ReadonlySet<string>;
  readonly arguments: readonly { readonly backend: string; readonly change: ArgumentChange }[];
  readonly pairs: ReadonlyMap<string, RunPair>;
  readonly attributes: ReadonlyMap<string, { readonly original: string; readonly ours: string }>;
}

interface Draft {
  readonly files: Map<string, OwnedFile>;
  readonly directories: Set<string>;
  arguments: Ledger['arguments'];
  readonly pairs: Map<string, RunPair>;
  readonly attributes: Map<string, { readonly original: string; readonly ours: string }>;
}

/** @param entries oldest first. */
export function foldLedger(entries: readonly SetupEntry[]): Ledger {
  const draft: Draft = {
    files: new Map(),
    directories: new Set(),
    arguments: [],
    pairs: new Map(),
    attributes: new Map(),
  };
  for (const { progress } of entries) {
    for (const [index, step] of progress.plan.steps.entries()) {
      const at = progress.steps[index];
      // A step whose undo was refused is in the world still, also where a kill kept it from being noted as done.
      const isThere =
        at !== undefined &&
        at.backward !== 'done' &&
        (at.forward === 'done' || at.backward === 'failed');
      if (isThere) foldStep(draft, step, at.record, progress.plan.kind);
    }
  }
  return draft;
}

export function isEmpty(ledger: Ledger): boolean {
  const { files, arguments: words, pairs, attributes } = ledger;
  return files.size + words.length + pairs.size + attributes.size === 0;
}

function foldStep(draft: Draft, step: SetupStep, record: unknown, planKind: string): void {
  switch (step.kind) {
    case 'WriteFile':
      foldFile(draft, step, record as FileRecord | undefined, planKind);
      return;
    case 'SetArguments':
      for (const change of step.changes) foldChange(draft, step.backend, change);
      return;
    case 'RunPair':
      if (step.remove === true) draft.pairs.delete(step.action);
      else draft.pairs.set(step.action, step);
      return;
    case 'WriteAttribute': {
      const original = draft.attributes.get(step.path)?.original ?? step.expect;
      if (planKind === 'rollback' || original === step.value) draft.attributes.delete(step.path);
      else draft.attributes.set(step.path, { original, ours: step.value });
      return;
    }
    case 'Adopt': {
      const { what } = step;
      if (what.kind === 'argument') {
        foldChange(draft, what.backend, { op: 'add', text: what.text });
        return;
      }
      draft.files.set(what.path, {
        path: what.path,
        action: step.action,
        original: ABSENT,
        ours: what.expect,
        edit: undefined,
      });
      return;
    }
    case 'Refresh':
      return;
  }
}

function foldFile(
  draft: Draft,
  step: WriteFile,
  record: FileRecord | undefined,
  planKind: string,
): void {
  const original = draft.files.get(step.path)?.original ?? record?.before ?? ABSENT;
  const ours = fingerprint(step.to);
  for (const directory of record?.directories ?? []) draft.directories.add(directory);
  if (planKind === 'rollback' || ours === fingerprint(original)) {
    draft.files.delete(step.path);
    for (const directory of step.directories ?? []) {
      const isUsed = [...draft.files.keys()].some((path) => path.startsWith(`${directory}/`));
      if (!isUsed) draft.directories.delete(directory);
    }
    return;
  }
  const { path, action, edit } = step;
  draft.files.set(path, { path, action, original, ours, edit });
}

/** Directories of ours on the way to a file, outermost first. */
export function directoriesOf({ directories }: Ledger, path: string): readonly string[] {
  return [...directories].filter((directory) => path.startsWith(`${directory}/`)).sort();
}

function foldChange(draft: Draft, backend: string, change: ArgumentChange): void {
  const same = (a: ArgumentChange, b: ArgumentChange) => JSON.stringify(a) === JSON.stringify(b);
  const without = (gone: ArgumentChange) =>
    draft.arguments.filter((owned) => owned.backend !== backend || !same(owned.change, gone));
  const inverse = without(invertChange(change));
  draft.arguments =
    inverse.length < draft.arguments.length ? inverse : [...without(change), { backend, change }];
}
