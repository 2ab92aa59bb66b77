import type { Known } from '../../known.js';
import { applyEdit, type FileEdit } from './edits/index.js';
import { fingerprint, newFile, textOf, withContent, type FileState } from './file-state.js';
import { directoriesOf, type Ledger, type OwnedFile } from './ledger.js';
import type { Ownership, SetupAction, SetupItem } from './plan-types.js';
import type { WriteFile } from './steps.js';
import { diffText } from './text-diff.js';
import type { RefreshName, WantedFile } from './wants/index.js';
import { EARLY_RULE } from './wants/places.js';

export interface PlannedFiles {
  readonly items: readonly SetupItem[];
  readonly actions: readonly SetupAction[];
  readonly steps: readonly WriteFile[];
  /** What has to be made anew after the changes. */
  readonly refresh: ReadonlySet<RefreshName>;
}

/** Paths whose present content the plan needs. */
export function pathsOf(wanted: readonly WantedFile[], ledger: Ledger): readonly string[] {
  return [...new Set([...wanted.map(({ path }) => path), ...ledger.files.keys()])];
}

/** Compares the files that are wanted with those there and those ours. Pure. */
export function planFiles(
  wanted: readonly WantedFile[],
  states: ReadonlyMap<string, Known<FileState>>,
  ledger: Ledger,
  { holdOrphans }: { readonly holdOrphans: boolean },
): PlannedFiles {
  const merged = mergeEdits(wanted);
  const planned = merged.map((file) =>
    planOne(file, states.get(file.path), ledger.files.get(file.path)),
  );
  const orphans = holdOrphans
    ? []
    : [...ledger.files.values()]
        .filter(({ path }) => !merged.some((file) => file.path === path))
        .map((owned) =>
          planOrphan(owned, states.get(owned.path), directoriesOf(ledger, owned.path)),
        );
  const all = [...planned, ...orphans];
  const changed = merged.filter(
    (file, index) => planned[index]?.step !== undefined && file.refresh,
  );
  return {
    items: all.map(({ item }) => item),
    actions: all.flatMap(({ action }) => (action === undefined ? [] : [action])),
    steps: all.flatMap(({ step }) => (step === undefined ? [] : [step])),
    refresh: new Set([
      ...changed.flatMap(({ refresh = [] }) => refresh),
      ...orphans.flatMap(({ step }) =>
        step === undefined ? [] : refreshForOwned(step.path, ledger),
      ),
    ]),
  };
}

/** What reads a file of ours: for files that no wish names any more. */
export function refreshForOwned(path: string, ledger: Ledger): readonly RefreshName[] {
  // The rule is in the initramfs where something of ours puts it there.
  const paths = path === EARLY_RULE ? [...ledger.files.keys()] : [path];
  return [...new Set(paths.flatMap(refreshFor))].filter(
    (name) => path !== EARLY_RULE || name === 'initramfs',
  );
}

/** What reads a file, by where it lies. */
function refreshFor(path: string): readonly RefreshName[] {
  if (/^\/etc\/(default\/grub|grub\.d\/|kernel\/cmdline)/.test(path)) return ['boot-menu'];
  if (/^\/etc\/(dracut\.conf\.d|initramfs-tools|mkinitcpio\.conf\.d|booster\.yaml)/.test(path))
    return ['initramfs'];
  if (path.endsWith('-qmplug-kvmfr.rules')) return ['udev-kvmfr'];
  if (path.startsWith('/etc/systemd/system/')) return ['systemd'];
  if (path.endsWith('.cil')) return ['selinux'];
  return [];
}

interface Planned {
  readonly item: SetupItem;
  readonly action?: SetupAction;
  readonly step?: WriteFile;
}

/** Several parts of ours in one file are one change of it. */
function mergeEdits(wanted: readonly WantedFile[]): readonly WantedFile[] {
  const byPath = new Map<string, WantedFile>();
  for (const file of wanted) {
    const earlier = byPath.get(file.path);
    if (earlier !== undefined && 'edit' in earlier && 'edit' in file) {
      const edit: FileEdit = { kind: 'all', edits: [earlier.edit, file.edit] };
      byPath.set(file.path, { ...earlier, edit });
    } else if (earlier === undefined) {
      byPath.set(file.path, file);
    }
  }
  return [...byPath.values()];
}

function planOne(
  file: WantedFile,
  state: Known<FileState> | undefined,
  owned: OwnedFile | undefined,
): Planned {
  const { item: id, path } = file;
  if (!state?.known) return { item: unreadable(id, path, state?.reason) };
  const now = state.value;
  const isOurs = owned !== undefined && fingerprint(now) === owned.ours;
  // From what was there before us: so a change of what is wanted leaves nothing of the earlier part.
  const base = isOurs && 'edit' in file ? owned.original : now;
  let to: FileState;
  try {
    to = wantedState(file, base, now);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const remedy = `write it in ${path} in the usual form`;
    return { item: { id, subject: path, state: 'conflicting', reason, remedy } };
  }
  if (isSame(to, now, file.mode)) {
    return { item: { id, subject: path, state: owned === undefined ? 'foreign-ok' : 'ok' } };
  }
  if (owned !== undefined && !isOurs && now.kind !== 'absent') {
    return { item: modifiedItem(id, path, owned, now, to) };
  }
  if (owned === undefined && 'content' in file && now.kind !== 'absent') {
    const reason = `${path} is somebody else's, and says something else`;
    const remedy = `remove it, or take it over as it is: qmplug host adopt ${path}`;
    const diff = diffText(textOf(now) ?? '', textOf(to) ?? '');
    return { item: { id, subject: path, state: 'conflicting', reason, remedy, diff } };
  }
  const step = stepOf({
    action: path,
    path,
    from: now,
    to,
    edit: 'edit' in file ? file.edit : undefined,
  });
  const ownership: Ownership = 'edit' in file ? 'shared' : 'ours';
  return {
    item: { id, subject: path, state: isOurs ? 'outdated' : 'missing' },
    action: actionOf(step, now, { ...file, ownership }),
    step,
  };
}

function wantedState(file: WantedFile, base: FileState, now: FileState): FileState {
  const text = 'content' in file ? file.content : applyEdit(textOf(base) ?? '', file.edit);
  const to = now.kind === 'absent' ? newFile(text) : withContent(now, text);
  return to.kind === 'file' && file.mode !== undefined ? { ...to, mode: file.mode } : to;
}

function isSame(a: FileState, b: FileState, mode: number | undefined): boolean {
  if (fingerprint(a) !== fingerprint(b)) return false;
  return mode === undefined || b.kind === 'absent' || b.mode === mode;
}

function planOrphan(
  owned: OwnedFile,
  state: Known<FileState> | undefined,
  directories: readonly string[],
): Planned {
  const { path } = owned;
  const id = 'orphan';
  if (!state?.known) return { item: unreadable(id, path, state?.reason) };
  const now = state.value;
  const isGone = fingerprint(now) === fingerprint(owned.original);
  if (fingerprint(now) !== owned.ours && !isGone) {
    return { item: modifiedItem(id, path, owned, now, owned.original) };
  }
  const step = {
    ...stepOf({ action: path, path, from: now, to: owned.original, edit: undefined }),
    directories,
  };
  const wanted = { ownership: 'ours' as const, needsReboot: true };
  return {
    item: { id, subject: path, state: 'orphan' },
    action: actionOf(step, now, wanted),
    step,
  };
}

function stepOf(change: {
  readonly action: string;
  readonly path: string;
  readonly from: FileState;
  readonly to: FileState;
  readonly edit: FileEdit | undefined;
}): WriteFile {
  const { action, path, from, to, edit } = change;
  const step: WriteFile = { kind: 'WriteFile', action, path, to, expect: fingerprint(from) };
  return edit === undefined ? step : { ...step, edit };
}

function actionOf(
  step: WriteFile,
  now: FileState,
  file: Pick<WantedFile, 'risk' | 'needsReboot'> & { readonly ownership: Ownership },
): SetupAction {
  const before = textOf(now);
  const after = textOf(step.to);
  return {
    id: step.path,
    kind: 'WriteFile',
    backend: 'file',
    current: before ?? null,
    wanted: after ?? null,
    fileDiff: diffText(before ?? '', after ?? ''),
    needsRoot: true,
    needsReboot: file.needsReboot ?? false,
    ownership: file.ownership,
    inverse: before === undefined ? `remove ${step.path}` : `restore ${step.path} byte for byte`,
    risk: file.risk ?? 'low',
  };
}

function modifiedItem(
  id: string,
  path: string,
  owned: OwnedFile,
  now: FileState,
  to: FileState,
): SetupItem {
  const reason = `${path} was written by us and changed by somebody else since`;
  const remedy = `put it back as the diff shows, or have all of ours taken back: qmplug host rollback --force-item ${owned.path}`;
  const diff = diffText(textOf(now) ?? '', textOf(to) ?? '');
  return { id, subject: path, state: 'modified', reason, remedy, diff };
}

function unreadable(id: string, path: string, reason = 'it was not read'): SetupItem {
  return { id, subject: path, state: 'unknown', reason, remedy: 'run as root' };
}
