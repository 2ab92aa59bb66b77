import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { fingerprintOf } from '../host/setup/tree.js';

const FILES = {
  '/usr/lib/bootc/kargs.d/10-base.toml': 'kargs = ["quiet"]\n',
  '/usr/lib/modules/6.12.0/modules.builtin': '',
  '/usr/lib/modules/6.12.0/modules.dep': 'kernel/kvm.ko:\n',
  '/etc/security/limits.conf': '# nothing\n',
};
const desired = {
  kvm: { ignoreMsrs: true },
  memlock: [
    { user: 'qemu', limit: '8G' },
    { unit: 'vm@1.service', limit: '8G' },
  ],
};

/** The directory of an image, with the journal and the locks beside it. */
class Image implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'qmplug-set-up-'));
  readonly root = join(this.directory, 'root');

  constructor() {
    for (const [path, text] of Object.entries(FILES)) {
      mkdirSync(dirname(join(this.root, path)), { recursive: true });
      writeFileSync(join(this.root, path), text);
    }
  }

  /** Runs one command of set-up; true where it was killed at that boundary. */
  run(operation: { readonly do: 'apply' | 'rollback'; readonly killAt?: number }): boolean {
    const specification = {
      ...operation,
      root: this.root,
      desired,
      stateDir: join(this.directory, 'state'),
      runDir: join(this.directory, 'run'),
    };
    const { status, signal, stdout, stderr } = spawnSync(
      process.execPath,
      ['test/programs/set-up.mjs', JSON.stringify(specification)],
      { encoding: 'utf8' },
    );
    if (signal === 'SIGKILL') return true;
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({ refused: [] });
    return false;
  }

  plansLeft(): readonly string[] {
    const folder = join(this.directory, 'state/plans');
    return existsSync(folder) ? readdirSync(folder) : [];
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

it.each(['apply', 'rollback'] as const)(
  'SIGKILL at every step boundary of %s of host set-up: the next process puts everything back',
  (killed) => {
    let boundary = 0;
    for (let isKilled = true; isKilled; boundary += 1) {
      using image = new Image();
      const before = fingerprintOf(image.root);
      if (killed === 'rollback') image.run({ do: 'apply' });
      isKilled = image.run({ do: killed, killAt: boundary });
      image.run({ do: 'rollback' });
      expect({ boundary, ...fingerprintOf(image.root) }).toEqual({ boundary, ...before });
      expect(image.plansLeft()).toEqual([]);
    }
    // Three files, four boundaries each; the last round is one that nothing killed.
    expect(boundary).toBeGreaterThan(12);
  },
);
