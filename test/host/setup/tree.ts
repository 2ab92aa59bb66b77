import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { systemClock } from '../../../src/clock.js';
import { createFileStore, type Boundary, type StateStore } from '../../../src/engine/index.js';
import { createHostEffects } from '../../../src/host/real-effects.js';
import { createSetupHost } from '../../../src/host/setup/real-setup-host.js';
import { runProgram } from '../../../src/host/setup/run-program.js';
import type { ProgramResult, SetupHost } from '../../../src/host/setup/setup-host.js';
import type { SetupEnvironment } from '../../../src/host/setup/setup-runner.js';
import { createProcessTable } from '../../support/owners.js';

// Every write is synced to the disk: in memory that costs nothing.
const MEMORY = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

/** What a tree of a host is made of: text, an executable stand-in for a program, a link, an empty directory. */
export type TreeEntry =
  string | { readonly program: string } | { readonly link: string } | { readonly directory: true };

export interface TreeOptions {
  readonly architecture?: string;
  /** False for an image that is being built. */
  readonly isMachine?: boolean;
  readonly onBoundary?: ((boundary: Boundary) => Promise<void> | void) | undefined;
  readonly state?: StateStore;
}

/**
 * A host in a directory. Its programs are stand-ins: small scripts that write down their arguments in `/calls` and
 * keep state in the tree. They run as `ROOT=<tree> sh program`, not in a chroot.
 */
export class HostTree implements Disposable {
  readonly root = mkdtempSync(join(MEMORY, 'qmplug-tree-'));
  readonly state: StateStore;
  readonly #stateDir = mkdtempSync(join(MEMORY, 'qmplug-state-'));

  constructor(entries: Readonly<Record<string, TreeEntry>>) {
    this.state = createFileStore(this.#stateDir, { durable: true });
    for (const [path, entry] of Object.entries(entries)) this.put(path, entry);
  }

  put(path: string, entry: TreeEntry): void {
    const real = join(this.root, path);
    mkdirSync(dirname(real), { recursive: true });
    if (typeof entry === 'string') writeFileSync(real, entry);
    else if ('link' in entry) symlinkSync(entry.link, real);
    else if ('directory' in entry) mkdirSync(real);
    else {
      writeFileSync(real, `#!/bin/sh\n${entry.program}\n`);
      chmodSync(real, 0o755);
    }
  }

  read(path: string): string | undefined {
    try {
      return readFileSync(join(this.root, path), 'utf8');
    } catch {
      return undefined;
    }
  }

  remove(path: string): void {
    rmSync(join(this.root, path), { recursive: true, force: true });
  }

  /** Arguments of every call that changed something, one line each. */
  calls(): readonly string[] {
    return (this.read('/calls') ?? '').split('\n').filter((line) => line !== '');
  }

  environment(options: TreeOptions = {}): SetupEnvironment {
    const { architecture = 'x86_64', isMachine = true, onBoundary } = options;
    const owner = createProcessTable().owner(1);
    return {
      host: new StandInHost(this.root, architecture, isMachine),
      effects: createHostEffects({
        roots: {
          sysfs: join(this.root, 'sys'),
          proc: join(this.root, 'proc'),
          dev: join(this.root, 'dev'),
        },
      }),
      state: options.state ?? this.state,
      runtime: createFileStore(join(this.#stateDir, 'run')),
      liveness: {
        self: async () => owner,
        isAlive: async () => ({ known: true, value: false }),
      },
      clock: systemClock,
      onBoundary,
    };
  }

  /** Every path with its type, mode and content, but for what the stand-ins write down. */
  fingerprint(): Readonly<Record<string, string>> {
    return fingerprintOf(this.root);
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
    rmSync(this.#stateDir, { recursive: true, force: true });
  }
}

export function fingerprintOf(root: string): Readonly<Record<string, string>> {
  const all: Record<string, string> = {};
  const walk = (path: string) => {
    for (const name of readdirSync(join(root, path)).sort()) {
      const at = `${path}/${name}`;
      if (at === '/calls') continue;
      const stat = lstatSync(join(root, at));
      const mode = (stat.mode & 0o7777).toString(8);
      if (stat.isDirectory()) {
        all[at] = `directory ${mode}`;
        walk(at);
      } else if (stat.isSymbolicLink()) {
        all[at] = `link ${readlinkSync(join(root, at))}`;
      } else {
        const hash = createHash('sha256')
          .update(readFileSync(join(root, at)))
          .digest('hex');
        all[at] = `file ${mode} ${stat.uid}:${stat.gid} ${hash}`;
      }
    }
  };
  walk('');
  return all;
}

/** The real host of a directory, but for its programs: they are told where the tree is. */
class StandInHost implements SetupHost {
  readonly root: string;
  readonly architecture: string;
  readonly isMachine: boolean;
  readonly #real: SetupHost;

  constructor(root: string, architecture: string, isMachine: boolean) {
    this.root = root;
    this.architecture = architecture;
    this.isMachine = isMachine;
    this.#real = createSetupHost({ root, architecture });
  }

  readFile = (path: string) => this.#real.readFile(path);
  list = (path: string) => this.#real.list(path);
  exists = (path: string) => this.#real.exists(path);
  writeFile: SetupHost['writeFile'] = (path, state) => this.#real.writeFile(path, state);
  readAttribute = (path: string) => this.#real.readAttribute(path);
  writeAttribute = (path: string, value: string) => this.#real.writeAttribute(path, value);
  missingDirectories = (path: string) => this.#real.missingDirectories(path);
  removeDirectory = (path: string) => this.#real.removeDirectory(path);
  findProgram = (name: string) => this.#real.findProgram(name);

  async run([program = '', ...args]: readonly string[]): Promise<ProgramResult> {
    const found = program.startsWith('/') ? program : await this.#real.findProgram(program);
    if (found === undefined) throw new Error(`the tree has no program ${program}`);
    const script = join(this.root, found);
    return runProgram(['env', `ROOT=${this.root}`, 'sh', script, ...args], {
      path: '/usr/bin:/bin',
      deadlineMs: 30_000,
    });
  }
}
