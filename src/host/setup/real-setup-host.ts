import {
  chmod,
  constants,
  copyFile,
  lchown,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  rmdir,
  stat,
} from 'node:fs/promises';
import { machine } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { HostIoError } from '../effects.js';
import { ABSENT, bytesOf, type FileState } from './file-state.js';
import { resolveInRoot } from './root-path.js';
import { runProgram } from './run-program.js';
import type { ProgramResult, SetupHost } from './setup-host.js';

const PROGRAM_FOLDERS = [
  '/usr/local/sbin',
  '/usr/local/bin',
  '/usr/sbin',
  '/usr/bin',
  '/sbin',
  '/bin',
];
/** Building an initramfs for every kernel of a slow machine takes minutes. */
const PROGRAM_DEADLINE_MS = 15 * 60_000;

export interface SetupHostOptions {
  /** The directory of an image; default `/`, this machine. */
  readonly root?: string | undefined;
  /** As `uname -m` names it; default: this machine's. */
  readonly architecture?: string | undefined;
}

/** The set-up of this machine, or of the system in a directory, whose programs run in a chroot. */
export function createSetupHost({ root = '/', architecture }: SetupHostOptions = {}): SetupHost {
  return new RealSetupHost(root, architecture ?? machine());
}

class RealSetupHost implements SetupHost {
  readonly root: string;
  readonly architecture: string;
  readonly isMachine: boolean;

  constructor(root: string, architecture: string) {
    this.root = root;
    this.architecture = architecture;
    this.isMachine = root === '/';
  }

  async readFile(path: string): Promise<FileState> {
    const real = await resolveInRoot(this.root, path, { followLast: false });
    return attempt('read', path, async () => {
      const found = await lstat(real).catch(missingIsUndefined);
      if (found === undefined) return ABSENT;
      // Replacing it would break the link, and following it would change a file nobody named.
      if (!found.isFile())
        throw new HostIoError(found.isDirectory() ? 'EISDIR' : 'ELOOP', 'read', path);
      const base64 = (await readFile(real)).toString('base64');
      const { uid, gid } = found;
      return {
        kind: 'file',
        base64,
        mode: found.mode & 0o7777,
        uid,
        gid,
        label: await this.#label(real),
      };
    });
  }

  async list(path: string): Promise<readonly string[]> {
    const real = await resolveInRoot(this.root, path, { followLast: true });
    return attempt('list', path, async () =>
      ((await readdir(real).catch(missingIsUndefined)) ?? []).sort(),
    );
  }

  async exists(path: string): Promise<boolean> {
    const real = await resolveInRoot(this.root, path, { followLast: true });
    return (await stat(real).catch(() => undefined)) !== undefined;
  }

  async writeFile(path: string, state: FileState): Promise<void> {
    const real = await resolveInRoot(this.root, path, { followLast: false });
    const draft = join(dirname(real), `.${basename(real)}.qmplug-new`);
    await attempt('write', path, async () => {
      await rm(draft, { force: true });
      const bytes = bytesOf(state);
      if (state.kind === 'absent' || bytes === undefined) {
        await rm(real, { force: true });
        await syncIfThere(dirname(real));
        return;
      }
      await mkdir(dirname(real), { recursive: true });
      await this.#makeDraft(real, draft);
      const file = await open(draft, constants.O_WRONLY | constants.O_TRUNC);
      try {
        await file.writeFile(bytes);
        if (state.uid !== null && state.gid !== null) await lchown(draft, state.uid, state.gid);
        await chmod(draft, state.mode);
        if (state.label !== null) await this.#tool(['chcon', '--', state.label, draft]);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(draft, real);
      await syncIfThere(dirname(real));
    });
  }

  async readAttribute(path: string): Promise<string> {
    const real = await resolveInRoot(this.root, path, { followLast: true });
    return attempt('read', path, async () => (await readFile(real, 'utf8')).replace(/\n$/, ''));
  }

  async writeAttribute(path: string, value: string): Promise<void> {
    const real = await resolveInRoot(this.root, path, { followLast: true });
    await attempt('write', path, async () => {
      // sysfs has no use for O_TRUNC and O_CREAT; in a tree that stands in for it, the rest must go.
      const file = await open(real, constants.O_WRONLY | (this.isMachine ? 0 : constants.O_TRUNC));
      try {
        await file.writeFile(`${value}\n`);
      } finally {
        await file.close();
      }
    });
  }

  async missingDirectories(path: string): Promise<readonly string[]> {
    const parent = dirname(path);
    if (parent === '/' || (await this.exists(parent))) return [];
    return [...(await this.missingDirectories(parent)), parent];
  }

  async removeDirectory(path: string): Promise<void> {
    const real = await resolveInRoot(this.root, path, { followLast: false });
    await attempt('remove', path, async () => {
      await rmdir(real).catch((error: NodeJS.ErrnoException) => {
        if (!['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes(error.code ?? '')) throw error;
      });
    });
  }

  async findProgram(name: string): Promise<string | undefined> {
    for (const folder of PROGRAM_FOLDERS) {
      const path = `${folder}/${name}`;
      const real = await resolveInRoot(this.root, path, { followLast: true });
      const found = await stat(real).catch(() => undefined);
      if (found?.isFile() && (found.mode & 0o111) !== 0) return path;
    }
    return undefined;
  }

  run(
    argv: readonly string[],
    options: { readonly deadlineMs?: number } = {},
  ): Promise<ProgramResult> {
    const inRoot = this.isMachine ? argv : ['chroot', this.root, ...argv];
    return runProgram(inRoot, {
      path: PROGRAM_FOLDERS.join(':'),
      deadlineMs: options.deadlineMs ?? PROGRAM_DEADLINE_MS,
    });
  }

  /** An empty draft; one that replaces a file has its owner, mode, label, ACL and other attributes. */
  async #makeDraft(real: string, draft: string): Promise<void> {
    const replaces = (await lstat(real).catch(missingIsUndefined)) !== undefined;
    if (!replaces) {
      await (
        await open(draft, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600)
      ).close();
      return;
    }
    await copyFile(real, draft, constants.COPYFILE_EXCL);
    await this.#tool(['cp', '--attributes-only', '--preserve=all', '--', real, draft]);
  }

  async #label(real: string): Promise<string | null> {
    if (!(await this.exists('/sys/fs/selinux/enforce'))) return null;
    const { status, stdout } = await runProgram(['stat', '-c', '%C', '--', real], TOOL);
    const label = stdout.trim();
    return status === 0 && label.includes(':') ? label : null;
  }

  async #tool(argv: readonly string[]): Promise<void> {
    const { status, stderr } = await runProgram(argv, TOOL);
    if (status !== 0)
      throw new HostIoError('EIO', 'run', argv.join(' '), { cause: new Error(stderr.trim()) });
  }
}

/** Small programs of this machine, whatever the root. */
const TOOL = { path: PROGRAM_FOLDERS.join(':'), deadlineMs: 30_000 };

async function attempt<T>(operation: string, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof HostIoError) throw cause;
    const errno = (cause as NodeJS.ErrnoException).code ?? 'EIO';
    throw new HostIoError(errno, operation, path, { cause });
  }
}

function missingIsUndefined(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
  throw error;
}

async function syncIfThere(directory: string): Promise<void> {
  const handle = await open(directory).catch(missingIsUndefined);
  if (handle === undefined) return;
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
