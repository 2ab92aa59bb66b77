import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { shellWords } from '../../src/cli/shell-words.js';
import { HostTree } from '../host/sysfs-tree.js';
import { CliHome, cli, documentOf } from './run-cli.js';

const shell = (line: string) =>
  execFileSync('sh', ['-c', `printf '%s\\n' ${line}`], { encoding: 'utf8' })
    .split('\n')
    .slice(0, -1);

describe('boot-args', () => {
  it('prints the same arguments for a shell and as JSON', async () => {
    const args = ['boot-args', '--root-ports', '9', '--window', '1G', '--memory', '64G'];
    const text = await cli(args);
    const document = documentOf(await cli([...args, '--json']));
    expect(text).toMatchObject({ status: 0, stderr: '' });
    expect(shell(text.stdout.trim())).toEqual(document.args);
  });

  it('prints a document of args and ports', async () => {
    const ran = await cli([
      ...['boot-args', '--json', '--root-ports', '1', '--window', '8G'],
      ...['--hotplug', 'native', '--first-device', '5'],
    ]);
    expect(ran.status).toBe(0);
    expect(documentOf(ran)).toEqual({
      args: [
        '-global',
        'ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off',
        '-device',
        'pcie-root-port,id=rp0,bus=pcie.0,addr=0x5.0,chassis=1,slot=1,multifunction=on,io-reserve=0,pref64-reserve=16G',
      ],
      ports: [
        {
          id: 'rp0',
          kind: 'root-port',
          bus: 'pcie.0',
          chassis: 1,
          slot: 1,
          addr: '0x5.0',
          window: { prefetchableBytes: 2 ** 34, memoryBytes: null },
        },
      ],
    });
  });

  it('makes room for the BARs of a host device in every port, or of several in one port each', async () => {
    using host = new HostTree();
    using home = new CliHome();
    const bar = (start: string, end: string, flags: string) => `0x${start} 0x${end} 0x${flags}`;
    const empty = bar('0'.repeat(16), '0'.repeat(16), '0'.repeat(16));
    const prefetchable = (end: string) => bar('0000002000000000', end, '000000000014220c');
    host.addFunction('0000:3b:00.0', {
      resource: [prefetchable('0000002fffffffff'), empty].join('\n'),
    });
    host.addFunction('0000:5e:00.0', {
      resource: [prefetchable('000000200fffffff'), empty].join('\n'),
    });
    const env = { QMPLUG_SYSFS_ROOT: host.roots.sysfs, QMPLUG_PROC_ROOT: host.roots.proc };
    const windows = async (...args: string[]) => {
      const { document } = await home.json(['boot-args', ...args], { env });
      return (document.ports as { window: { prefetchableBytes: number | null } }[]).map(
        ({ window }) => window.prefetchableBytes,
      );
    };
    const [each, ...others] = await windows('--root-ports', '3', '--for', '3b:00.0');
    expect(each).toBeGreaterThanOrEqual(2 ** 36);
    expect(others).toEqual([each, each]);
    const [large, small, rest] = await windows(
      ...['--root-ports', '3', '--for', '0000:3b:00.0', '--for', '5e:00.0'],
    );
    expect(large).toBe(each);
    expect(small).toBeGreaterThanOrEqual(2 ** 28);
    expect(small).toBeLessThan(2 ** 36);
    expect(rest).toBeNull();
    expect(await home.json(['boot-args', '--for', '0000:99:00.0'], { env })).toMatchObject({
      status: 3,
      document: { error: { code: 'NO_MATCH' } },
    });
  });

  it('refuses what does not fit, with the arithmetic and what to do', async () => {
    const ran = await cli(['boot-args', '--root-ports', '8', '--window', '128G', '--json']);
    expect(ran.status).toBe(3);
    expect(documentOf(ran)).toMatchObject({
      error: {
        code: 'NO_WINDOW',
        message: expect.stringContaining('8 x 256G') as unknown,
        remedy: expect.stringContaining('--phys-bits') as unknown,
      },
    });
    const machine = await cli(['boot-args', '--machine', 'microvm']);
    expect(machine).toMatchObject({ status: 3, stdout: '' });
  });
});

it('quotes what a shell would read otherwise', () => {
  const words = ['plain,x=0x1.0', 'a b', "it's", '$HOME', '', '*', 'a\\b', 'a;b', '"'];
  expect(shell(shellWords(words))).toEqual(words);
});

it.each([
  ['pseries', /on pseries/],
  ['virt', /on riscv64/],
])('says what of %s was never seen to work, for people and for programs', async (machine, what) => {
  const options = ['boot-args', '--machine', machine];
  expect((await cli(options)).stderr).toMatch(/^qmplug: experimental: no guest/m);
  const { experimental } = documentOf(await cli([...options, '--json']));
  expect(experimental).toMatch(what);
  const proven = documentOf(await cli(['boot-args', '--machine', 'q35', '--json']));
  expect(proven).not.toHaveProperty('experimental');
});
