import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { gpuHost, MDEV } from '../host/selector/gpu-host.js';
import type { HostTree } from '../host/sysfs-tree.js';
import { CliHome } from './run-cli.js';

/** The locks of a reservation look for this very process. */
function hostWithSelf(): HostTree {
  const host = gpuHost();
  host.addProcess(process.pid);
  return host;
}

const envOf = ({ roots }: HostTree) => ({
  QMPLUG_SYSFS_ROOT: roots.sysfs,
  QMPLUG_PROC_ROOT: roots.proc,
  QMPLUG_DEV_ROOT: roots.dev,
  QMPLUG_PCI_IDS: '/nonexistent/pci.ids',
});

describe('devices', () => {
  it('prints a host with two GPUs, VFs, a VMD domain and a mediated device', async () => {
    using host = gpuHost();
    using home = new CliHome();
    const { stdout } = await home.run(['devices'], { env: envOf(host) });
    await expect(stdout).toMatchFileSnapshot('golden/devices-gpu-host.txt');
  });

  it('prints the same host without an IOMMU', async () => {
    using host = gpuHost();
    using home = new CliHome();
    host.remove('/sys/kernel/iommu_groups');
    for (const bdf of ['0000:01:00.0', '0000:01:00.1', '0000:81:00.0', '10000:e1:00.0']) {
      host.remove(`${host.pathOf(bdf)}/iommu_group`);
    }
    host.file('/proc/sys/kernel/osrelease', '0.0.0-of-a-test\n');
    const { stdout } = await home.run(['devices', '10000:e1:00.0'], { env: envOf(host) });
    await expect(stdout).toMatchFileSnapshot('golden/devices-no-iommu.txt');
  });

  it('explains each candidate', async () => {
    using host = gpuHost();
    using home = new CliHome();
    const selector = 'vendor:10de class:gpu numa:1';
    const { stdout, status } = await home.run(['devices', selector, '--explain'], {
      env: envOf(host),
    });
    expect(status).toBe(0);
    await expect(stdout).toMatchFileSnapshot('golden/devices-explain.txt');
  });

  it('keeps to the width of a terminal', async () => {
    using host = gpuHost();
    using home = new CliHome();
    const { stdout } = await home.run(['devices'], { env: envOf(host), columns: 100 });
    const table = stdout.split('\n\n')[0] ?? '';
    expect(Math.max(...table.split('\n').map((line) => line.length))).toBeLessThanOrEqual(100);
    expect(table).toContain('…');
  });

  it('keeps everything where a terminal does not know its width', async () => {
    using host = gpuHost();
    using home = new CliHome();
    const { stdout } = await home.run(['devices'], { env: envOf(host), columns: 0 });
    expect(stdout).toBe((await home.run(['devices'], { env: envOf(host) })).stdout);
  });

  it.each(['-s 41:', '-d 10de:'])('takes %j as lspci does, for no option', async (selector) => {
    using host = gpuHost();
    using home = new CliHome();
    const expected = await home.run(['devices', '--', selector], { env: envOf(host) });
    expect(expected.status).toBe(0);
    expect(await home.run(['devices', selector], { env: envOf(host) })).toEqual(expected);
  });
});

describe('host resolve', () => {
  it('prints addresses, or everything as JSON', async () => {
    using host = gpuHost();
    using home = new CliHome();
    const args = ['host', 'resolve', 'id:10de:2204', '--policy', 'first:2', '--order', '-numa'];
    const { stdout } = await home.run(args, { env: envOf(host) });
    expect(stdout).toBe('0000:81:00.0\n0000:01:00.0\n');
    const { document } = await home.json(args, { env: envOf(host) });
    expect(document).toMatchObject({
      selector: 'id:10de:2204',
      policy: 'first:2',
      order: ['-numa'],
      chosen: [{ bdf: '0000:81:00.0', iommuGroup: 4, slot: '4' }, { bdf: '0000:01:00.0' }],
      selectorHash: expect.stringMatching(/^[0-9a-f]{64}$/) as unknown,
      snapshotHash: expect.stringMatching(/^[0-9a-f]{64}$/) as unknown,
    });
  });

  it.each([
    ['id:10de:2204', 3, 'AMBIGUOUS'],
    ['id:dead:beef', 3, 'NO_MATCH'],
    ['0000:00:1f.0', 3, 'DENIED'],
    ['driver:igb', 3, 'IN_USE'],
    ['nope:1', 2, 'SYNTAX'],
    ['{"match":{"nope":1}}', 2, 'SYNTAX'],
  ])('ends for %s with status %i and %s', async (selector, status, code) => {
    using host = gpuHost();
    using home = new CliHome();
    const ran = await home.json(['host', 'resolve', selector], { env: envOf(host) });
    expect(ran.status).toBe(status);
    expect(ran.document).toMatchObject({ error: { code } });
  });
});

it('pins a device, and holds a later choice to it', async () => {
  using host = gpuHost();
  using home = new CliHome();
  const env = envOf(host);
  const file = join(home.directory, 'nvme.pin');
  const pinned = await home.json(['host', 'pin', 'class:nvme', '-o', file], { env });
  expect(pinned.document).toMatchObject({
    pin: { devices: [{ bdf: '10000:e1:00.0', serial: 's4ev-77' }] },
  });
  const ok = await home.run(['host', 'resolve', 'class:nvme', '--pin', file], { env });
  expect(ok.stdout).toBe('10000:e1:00.0\n');
  host.file(`${host.pathOf('10000:e1:00.0')}/nvme/nvme0/serial`, 'ANOTHER\n');
  const { document } = await home.json(['host', 'resolve', 'class:nvme', '--pin', file], { env });
  expect(document).toMatchObject({ error: { code: 'IDENTITY_CHANGED' } });
});

it('reserves a device, keeps others off it, and gives it back', async () => {
  using host = hostWithSelf();
  using home = new CliHome();
  const env = envOf(host);
  const reserve = (owner: string, selector: string) =>
    home.json(['host', 'reserve', selector, '--for', owner, '--ttl', '1h'], { env });
  const first = await reserve('alice', 'id:10de:2204 numa:0');
  expect(first.document).toMatchObject({
    holds: [{ key: 'group-3', owner: 'alice', devices: ['0000:01:00.0'] }],
  });
  expect((await reserve('alice', 'id:10de:2204 numa:0')).status).toBe(0);
  const second = await reserve('bob', '0000:01:00.0');
  expect(second.document).toMatchObject({ error: { code: 'CONFLICT' } });
  const other = await home.run(['host', 'resolve', 'id:10de:2204'], { env });
  expect(other.stdout).toBe('0000:81:00.0\n');
  const listed = await home.json(['host', 'reservations'], { env });
  expect(listed.document).toMatchObject({ holds: [{ owner: 'alice' }] });
  await home.run(['host', 'unreserve', '--for', 'alice'], { env });
  expect((await reserve('bob', '0000:01:00.0')).status).toBe(0);
});

it('waits for what another has, and says so where that was in vain', async () => {
  using host = hostWithSelf();
  using home = new CliHome();
  const env = envOf(host);
  const reserve = (owner: string, ...more: readonly string[]) =>
    home.json(['host', 'reserve', 'id:10de:2204 numa:0', '--for', owner, ...more], { env });
  expect((await reserve('alice', '--wait', '0')).status).toBe(0);
  const inVain = await reserve('bob', '--wait', '0.1');
  expect(inVain.status).toBe(3);
  expect(inVain.document).toMatchObject({
    error: { code: 'RESERVE_TIMEOUT', details: { wanted: 'bob', code: 'CONFLICT' } },
  });
  const waiting = reserve('bob', '--wait', '60');
  await home.run(['host', 'unreserve', '--for', 'alice'], { env });
  expect((await waiting).document).toMatchObject({ holds: [{ key: 'group-3', owner: 'bob' }] });
});

it('never gives one device to two who reserve at once', async () => {
  using host = hostWithSelf();
  using home = new CliHome();
  const env = envOf(host);
  const owners = ['a', 'b', 'c', 'd'];
  const ran = await Promise.all(
    owners.map((owner) =>
      home.json(['host', 'reserve', 'id:10de:2204 numa:0', '--for', owner], { env }),
    ),
  );
  expect(ran.filter(({ status }) => status === 0)).toHaveLength(1);
});

describe('host snapshot', () => {
  it('stands in for the host, without serial numbers and addresses', async () => {
    using host = gpuHost();
    using home = new CliHome();
    const env = envOf(host);
    const target = join(home.directory, 'copy');
    const { status } = await home.run(['host', 'snapshot', target], { env });
    expect(status).toBe(0);
    const copy = {
      QMPLUG_SYSFS_ROOT: join(target, 'sys'),
      QMPLUG_PROC_ROOT: join(target, 'proc'),
      QMPLUG_DEV_ROOT: join(target, 'dev'),
      QMPLUG_PCI_IDS: '/nonexistent/pci.ids',
    };
    const before = await home.json(['host', 'resolve', 'kind:pci,mdev', '--policy', 'all'], {
      env,
    });
    const after = await home.json(['host', 'resolve', 'kind:pci,mdev', '--policy', 'all'], {
      env: copy,
    });
    const strip = ({ chosen }: Record<string, unknown>) =>
      (chosen as object[]).map((each) => ({ ...each, serials: null }));
    expect(strip(after.document)).toEqual(strip(before.document));
    const text = JSON.stringify(after.document);
    expect(text).toContain('SCRUBBED-');
    expect(text).not.toMatch(/S4EV|3c:5d:9e/);
    const again = await home.json(['host', 'snapshot', target], { env });
    expect(again.status).toBe(2);
  });

  it('is an archive where the name says so, and keeps what is private when told', async () => {
    using host = gpuHost();
    using home = new CliHome();
    const file = join(home.directory, 'copy.tar.gz');
    const ran = await home.json(['host', 'snapshot', file, '--no-scrub'], { env: envOf(host) });
    expect(ran.document).toMatchObject({ scrubbed: false });
    expect(existsSync(file)).toBe(true);
    expect(readFileSync(file).subarray(0, 2).toString('hex')).toBe('1f8b');
  });
});

it('tells until when a choice is reserved for the one who asks', async () => {
  using host = hostWithSelf();
  using home = new CliHome();
  const env = envOf(host);
  const args = ['host', 'resolve', 'id:10de:2204 numa:0', '--for', 'alice'];
  const before = await home.json(args, { env });
  expect(before.document).toMatchObject({ reservedUntil: null, placement: null });
  const reserve = ['host', 'reserve', 'id:10de:2204 numa:0', '--for', 'alice', '--ttl', '1h'];
  const { document } = await home.json(reserve, { env });
  const [{ until }] = document.holds as [{ until: number }];
  const after = await home.json(args, { env });
  expect(after.document).toMatchObject({ reservedUntil: until });
});

it('says on stderr what a description was found to mean, and that it meant something else before', async () => {
  using host = gpuHost();
  using home = new CliHome();
  const env = envOf(host);
  const args = ['host', 'resolve', 'id:10de:2204', '--policy', 'first:1'];
  expect((await home.run(args, { env })).stderr).toBe(
    'qmplug: id:10de:2204 is 0000:01:00.0 10de:2204 (NUMA node 0, IOMMU group 3, no driver)\n',
  );
  expect((await home.run(['host', 'resolve', '0000:01:00.0'], { env })).stderr).toBe('');
  host.remove('/sys/bus/pci/devices/0000:01:00.0');
  const { stderr } = await home.run(args, { env });
  expect(stderr).toMatch(
    /meant 0000:01:00\.0 10de:2204 at .* and means 0000:81:00\.0 10de:2204 now/,
  );
});

it.each(['libvirt', 'nova', 'microvm'])('prints a choice as %s takes it', async (format) => {
  using host = gpuHost();
  using home = new CliHome();
  const args = ['host', 'resolve', 'id:10de:2204', '--policy', 'all', '--format', format];
  const { stdout, status } = await home.run(args, { env: envOf(host) });
  expect(status).toBe(0);
  await expect(stdout).toMatchFileSnapshot(`golden/resolve-${format}.txt`);
});

it('prints a mediated device as libvirt takes it, and for others that it is none of theirs', async () => {
  using host = gpuHost();
  using home = new CliHome();
  const run = (format: string) =>
    home.run(['host', 'resolve', MDEV, '--format', format], { env: envOf(host) });
  expect((await run('libvirt')).stdout).toContain(`<address uuid='${MDEV}'/>`);
  const nova = await run('nova');
  expect({ status: nova.status, stdout: nova.stdout }).toEqual({ status: 2, stdout: '' });
  expect(nova.stderr).toContain('is a mediated device');
});
