import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CliHome } from './run-cli.js';

/** A bootc image that is being built: it needs no program of its own. */
function makeImage(home: CliHome): string {
  const root = join(home.directory, 'image');
  const files = {
    '/usr/lib/bootc/kargs.d/10-base.toml': 'kargs = ["quiet"]\n',
    '/usr/lib/modules/6.12.0/modules.builtin': '',
    '/usr/lib/modules/6.12.0/modules.dep': 'kernel/kvm.ko:\n',
  };
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

function write(home: CliHome, desired: unknown): string {
  const path = join(home.directory, 'host.json');
  writeFileSync(path, JSON.stringify(desired));
  return path;
}

describe('qmplug host on the directory of an image', () => {
  it('goes from pending to converged and back, with the status of each', async () => {
    using home = new CliHome();
    const root = makeImage(home);
    const file = write(home, { kvm: { ignoreMsrs: true } });
    const own = join(root, 'usr/lib/bootc/kargs.d/50-qmplug.toml');

    const planned = await home.json(['host', 'plan', file, '--root', root]);
    expect(planned).toMatchObject({ status: 7, document: { backend: 'bootc-image' } });
    expect(existsSync(own)).toBe(false);
    const hash = planned.document.hash as string;

    expect(
      (await home.run(['host', 'apply', file, '--root', root, '--plan', 'stale'])).status,
    ).toBe(3);
    expect((await home.run(['host', 'apply', file, '--root', root, '--plan', hash])).status).toBe(
      0,
    );
    expect(readFileSync(own, 'utf8')).toContain('kargs = ["kvm.ignore_msrs=1"]');
    expect(await home.json(['host', 'apply', file, '--root', root])).toMatchObject({
      status: 0,
      document: { steps: [] },
    });
    expect((await home.run(['host', 'plan', file, '--root', root])).status).toBe(0);
    expect((await home.run(['host', 'verify', file, '--root', root])).status).toBe(0);

    writeFileSync(own, '# mine\n');
    expect((await home.run(['host', 'plan', file, '--root', root])).status).toBe(3);
    expect((await home.run(['host', 'verify', file, '--root', root])).status).toBe(7);
    expect(await home.json(['host', 'rollback', '--root', root])).toMatchObject({
      status: 3,
      document: { refused: [{ id: '/usr/lib/bootc/kargs.d/50-qmplug.toml' }] },
    });
    const forced = ['host', 'rollback', '--root', root];
    const id = '/usr/lib/bootc/kargs.d/50-qmplug.toml';
    expect((await home.run([...forced, '--force-item', id])).status).toBe(0);
    expect(existsSync(own)).toBe(false);
  });

  it('never ends with 0 where something cannot be had, whatever else was done', async () => {
    using home = new CliHome();
    const root = makeImage(home);
    const status = async (verb: string, desired: object) =>
      (await home.run(['host', verb, write(home, desired), '--root', root])).status;
    // An image has no devices.
    const unmet = { early: ['0000:01:00.0'] };
    expect(await status('plan', unmet)).toBe(3);
    expect(await status('apply', unmet)).toBe(3);
    expect(await status('verify', unmet)).toBe(7);
    const both = { ...unmet, kvm: { ignoreMsrs: true } };
    expect(await status('plan', both)).toBe(3);
    expect(await status('apply', both)).toBe(7);
    expect(await status('verify', both)).toBe(7);
    expect(await status('verify', { kvm: { ignoreMsrs: true } })).toBe(0);
  });

  it('refuses what is no desired state, with the place in it', async () => {
    using home = new CliHome();
    const file = write(home, { kvm: { ignoreMSRs: true } });
    const { status, document } = await home.json(['host', 'plan', file, '--root', makeImage(home)]);
    expect(status).toBe(2);
    expect(document).toMatchObject({
      error: { code: 'BAD_DESIRED_STATE', details: { path: 'kvm.ignoreMSRs' } },
    });
  });

  it('refuses a backend that is not there, and an item that nobody has', async () => {
    using home = new CliHome();
    const root = makeImage(home);
    const file = write(home, { backend: 'grubby' });
    expect(await home.json(['host', 'plan', file, '--root', root])).toMatchObject({
      status: 3,
      document: { error: { code: 'NO_BACKEND' } },
    });
    const stray = ['host', 'rollback', '--root', root, '--force-item', '/etc/passwd'];
    expect((await home.run(stray)).status).toBe(2);
  });

  it('follows no link out of the image', async () => {
    using home = new CliHome();
    const root = makeImage(home);
    mkdirSync(join(root, 'etc'));
    const outside = join(home.directory, 'outside');
    mkdirSync(outside);
    symlinkSync(outside, join(root, 'etc/security'));
    const file = write(home, { memlock: [{ user: 'qemu', limit: '1G' }] });
    await home.run(['host', 'apply', file, '--root', root]);
    expect(existsSync(join(outside, 'limits.d'))).toBe(false);
  });
});
