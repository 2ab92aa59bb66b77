import { chmodSync, chownSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { gpuHost, MDEV } from '../host/selector/gpu-host.js';
import { CliHome } from './run-cli.js';

const isRoot = process.getuid?.() === 0;

/** A host with a policy, and what keeps a command line to both. */
function withPolicy(text: string) {
  const host = gpuHost();
  host.addProcess(process.pid);
  const home = new CliHome();
  const file = join(home.directory, 'policy');
  writeFileSync(file, text);
  chmodSync(file, 0o644);
  if (isRoot) chownSync(file, 0, 0);
  const env = {
    QMPLUG_SYSFS_ROOT: host.roots.sysfs,
    QMPLUG_PROC_ROOT: host.roots.proc,
    QMPLUG_DEV_ROOT: host.roots.dev,
    QMPLUG_PCI_IDS: '/nonexistent/pci.ids',
  };
  return {
    file,
    run: async (args: readonly string[], more: Readonly<Record<string, string>> = {}) => {
      const { status, document } = await home.json(args, { env: { ...env, ...more } });
      return { status, document };
    },
    [Symbol.dispose]() {
      host[Symbol.dispose]();
      home[Symbol.dispose]();
    },
  };
}

/** Without root nobody can make a file that is root's, and then the file itself is refused. */
const refusal = {
  status: 3,
  document: { error: { code: isRoot ? 'DENIED' : 'POLICY_FILE_UNSAFE' } },
};

describe('a policy file', () => {
  const TEXT = 'deny sound: class:audio\ndeny nic: bdf:0000:05:00.0,0000:06:00.0\n';

  it.each([
    ['host resolve', ['host', 'resolve', '0000:01:00.1']],
    ['host reserve', ['host', 'reserve', '0000:01:00.1', '--for', 'a']],
    ['host bind', ['host', 'bind', '0000:01:00.1', '--dry-run']],
    [
      'host bind with what goes along',
      ['host', 'bind', '0000:01:00.0', '--members', 'group', '--dry-run'],
    ],
    [
      'host bind with its name as a reason',
      ['host', 'bind', '0000:01:00.1', '--allow', 'sound', '--dry-run'],
    ],
    ['host vfs', ['host', 'vfs', '0000:05:00.0', '1', '--dry-run']],
    [
      'host mdev create',
      ['host', 'mdev', 'create', '0000:06:00.0', 'i915-GVTg_V5_4', '--uuid', MDEV],
    ],
  ])('is asked by %s', async (_, args) => {
    using policy = withPolicy(TEXT);
    expect(await policy.run([...args, '--policy-file', policy.file])).toMatchObject(refusal);
    expect(await policy.run(args, { QMPLUG_POLICY_FILE: policy.file })).toMatchObject(refusal);
    const without = await policy.run(args);
    expect(without.document).not.toMatchObject(refusal.document);
  });

  it('gives a tenant its share of what is bound', async () => {
    using policy = withPolicy('tenant alice: numa:0\n');
    const bind = (device: string, ...who: string[]) =>
      policy.run(['host', 'bind', device, '--policy-file', policy.file, '--dry-run', ...who]);
    expect(await bind('0000:81:00.0', '--reserved-for', 'alice')).toMatchObject(refusal);
    expect(await bind('0000:01:00.0')).toMatchObject(refusal);
    const given = { status: 0, document: { bound: [{ bdf: '0000:01:00.0' }] } };
    expect(await bind('0000:01:00.0', '--reserved-for', 'alice')).toMatchObject(
      isRoot ? given : refusal,
    );
  });
});

it.each(['--policy-file', '--pin'])('says where to look for the file of %s', async (option) => {
  using policy = withPolicy('');
  const args = ['host', 'resolve', 'class:gpu', option, '/nonexistent/file'];
  expect(await policy.run(args)).toMatchObject({
    status: 3,
    document: {
      error: {
        code: 'HOST_UNREADABLE',
        remedy: expect.stringContaining('/nonexistent/file') as string,
      },
    },
  });
});
