import type { StepHandler } from '../../../engine/index.js';
import { HostNotReadyError } from '../../../errors.js';
import { ABSENT, fingerprint, type FileState } from '../file-state.js';
import type { SetupHost } from '../setup-host.js';
import type { WriteFile } from '../steps.js';
import type { SetupContext } from './context.js';

/** What the file was before this step. */
export interface FileRecord {
  readonly before: FileState;
  /** sha256 before and after, for those who read the journal. */
  readonly sha256: { readonly before: string; readonly after: string };
  /** Directories that the step makes on the way, outermost first. */
  readonly directories: readonly string[];
}

export const writeFile: StepHandler<WriteFile, SetupContext, FileRecord> = {
  async check(step, { host }) {
    await readAsPlanned(step, host);
  },
  async prepare(step, { host }) {
    const before = await readAsPlanned(step, host);
    const sha256 = { before: fingerprint(before), after: fingerprint(step.to) };
    const directories = step.to.kind === 'absent' ? [] : await host.missingDirectories(step.path);
    return { before, sha256, directories };
  },
  async do(step, { host }, record) {
    if (record === undefined) return;
    await replace(step.path, host, { from: record.before, to: step.to });
    if (step.to.kind === 'absent') await removeAll(host, step.directories ?? []);
  },
  async undo(step, { host }, record) {
    if (record === undefined) return;
    await replace(step.path, host, { from: step.to, to: record.before });
    await removeAll(host, record.directories);
  },
  async probe(step, { host }) {
    try {
      return fingerprint(await host.readFile(step.path)) === fingerprint(step.to)
        ? 'present'
        : 'absent';
    } catch {
      return 'unreadable';
    }
  },
  changedNothing: (cause) => cause instanceof HostNotReadyError,
  undoIsIndependent: true,
};

async function readAsPlanned(step: WriteFile, host: SetupHost): Promise<FileState> {
  const now = await host.readFile(step.path);
  if (fingerprint(now) === step.expect) return now;
  throw modified(step.path, 'since the plan was made');
}

/** Writes `to` over `from`, over itself, and over nothing else. */
async function replace(
  path: string,
  host: SetupHost,
  { from, to }: { readonly from: FileState; readonly to: FileState },
): Promise<void> {
  const now = await host.readFile(path);
  const known = [from, to].map(fingerprint);
  if (!known.includes(fingerprint(now))) throw modified(path, 'since it was written');
  if (to.kind === 'absent' && now.kind === 'absent') {
    await host.writeFile(path, ABSENT); // a draft may be left of a killed write
    return;
  }
  await host.writeFile(path, to);
}

async function removeAll(host: SetupHost, directories: readonly string[]): Promise<void> {
  for (const directory of [...directories].reverse()) await host.removeDirectory(directory);
}

export function modified(path: string, when: string): HostNotReadyError {
  return new HostNotReadyError('MODIFIED', `${path} was changed by someone else ${when}`, {
    remedy: `look at what changed in ${path}, then plan again`,
    details: { path },
  });
}
