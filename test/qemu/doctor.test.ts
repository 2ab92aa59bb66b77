import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Finding } from '../../src/doctor/index.js';
import { CliHome } from '../cli/run-cli.js';
import { HostTree } from '../host/sysfs-tree.js';
import { rootPort, startQemu, type Qemu } from '../support/qemu.js';
import { waitForNumberedBuses } from './numbered-buses.js';

const DEVICE = '0000:3b:00.0';
const LARGE = '0000:3c:00.0';
const MEMLOCK_BYTES = 65_536;

/** BAR 0, 64-bit prefetchable. */
function bar(sizeBytes: bigint): string {
  const hex = (value: bigint) => `0x${value.toString(16).padStart(16, '0')}`;
  const base = 1n << 40n;
  return `${hex(base)} ${hex(base + sizeBytes - 1n)} 0x000000000014220c`;
}

const tree = new HostTree();
const home = new CliHome();
const folder = mkdtempSync(join(tmpdir(), 'qmplug-doctor-'));
let qemu: Qemu;

beforeAll(async () => {
  for (const [bdf, group, size] of [
    [DEVICE, 17, 1n << 20n],
    [LARGE, 18, 1n << 36n],
  ] as const) {
    tree.addFunction(bdf, { group, driver: 'vfio-pci', resource: bar(size), class: '0x030200' });
    tree.file(`/dev/vfio/${group}`, '');
  }
  // Without the capabilities by which root may do anything: as a QEMU that somebody else started.
  const binary = join(folder, 'qemu');
  const drop = process.getuid?.() === 0 ? 'setpriv --inh-caps=-all --bounding-set=-all' : '';
  writeFileSync(
    binary,
    `#!/bin/sh\nexec prlimit --memlock=${MEMLOCK_BYTES} ${drop} qemu-system-x86_64 "$@"\n`,
  );
  chmodSync(binary, 0o755);
  const args = ['rp0', 'rp1'].flatMap((id, index) => rootPort(id, index + 2));
  qemu = await startQemu({ binary, hotplug: 'native', args });
  await waitForNumberedBuses(qemu, ['rp0', 'rp1']);
});

afterAll(async () => {
  await qemu.kill();
  tree[Symbol.dispose]();
  home[Symbol.dispose]();
  rmSync(folder, { recursive: true });
});

/** What the doctor says of the running QEMU and a device of the tree, by id. */
async function examine(device: string, ...more: readonly string[]) {
  const env = { QMPLUG_SYSFS_ROOT: tree.roots.sysfs, QMPLUG_DEV_ROOT: tree.roots.dev };
  const args = ['doctor', '--vm', qemu.qmpPath, '--device', device, ...more];
  const { status, document } = await home.json(args, { env });
  const findings = document['findings'] as readonly Finding[];
  return { status, of: (id: string) => findings.find((finding) => finding.id === id) };
}

const text = (words: string) => expect.stringContaining(words) as unknown;

it('tells how many ports take a device, and how the guest hears of it', async () => {
  const { of } = await examine(DEVICE);
  expect(of('vm.hotplug')).toMatchObject({
    verdict: 'ok',
    why: '2 of 2 ports are free, by native hot-plug',
    read: [
      { path: 'port rp0', value: 'free, by native' },
      { path: 'port rp1', value: 'free, by native' },
    ],
  });
  expect(of('dev.bar')).toMatchObject({ verdict: 'ok', why: text('rp0') });
});

it('tells of a limit that does not hold the memory of the VM', async () => {
  const { status, of } = await examine(DEVICE);
  expect(status).toBe(3);
  expect(of('mem.memlock')).toMatchObject({
    verdict: 'fail',
    // 128 MiB of RAM and 1 GiB.
    remedy: text(`prlimit --pid ${qemu.pid} --memlock=${(128 + 1024) * 2 ** 20}`),
    read: [{ path: `/proc/${qemu.pid}/limits`, value: text(String(MEMLOCK_BYTES)) }],
  });
});

it('tells of a node that QEMU can open, and of one that it cannot', async () => {
  const node = tree.real('/dev/vfio/17');
  chmodSync(node, 0o600);
  expect((await examine(DEVICE)).of('vfio.group_perm')).toMatchObject({ verdict: 'ok' });
  chmodSync(node, 0o400);
  expect((await examine(DEVICE)).of('vfio.group_perm')).toMatchObject({
    verdict: 'fail',
    remedy: text('setfacl'),
  });
});

it('tells of BARs that go through no window, by the windows that the firmware made', async () => {
  const { of } = await examine(LARGE);
  expect(of('dev.bar')).toMatchObject({
    verdict: 'fail',
    why: text('64G'),
    remedy: text('boot-args'),
  });
  expect((await examine(LARGE, '--profile', 'static')).of('dev.bar')).toMatchObject({
    verdict: 'warn',
  });
});

it('tells when no port is left, and who has them', async () => {
  for (const [index, bus] of ['rp0', 'rp1'].entries()) {
    const device = { driver: 'pci-testdev', id: `dev${index}`, bus, addr: '0x0' };
    await qemu.qmp.execute('device_add', device);
  }
  const { status, of } = await examine(DEVICE);
  expect(status).toBe(3);
  expect(of('vm.hotplug')).toMatchObject({
    verdict: 'fail',
    remedy: text('--root-ports'),
    read: [
      { path: 'port rp0', value: text('dev0') },
      { path: 'port rp1', value: text('dev1') },
    ],
  });
  expect(of('dev.bar')).toMatchObject({ verdict: 'skip', why: text('vm.hotplug') });
});
