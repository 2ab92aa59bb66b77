import { expect, it } from 'vitest';
import type { JsonValue } from '../../../src/json.js';
import {
  applyHost,
  planHost,
  readDesiredState,
  type SetupItem,
} from '../../../src/host/setup/index.js';
import { silverblue } from './stand-ins.js';
import { HostTree } from './tree.js';

const RUNNING = 'BOOT_IMAGE=/ostree/x rhgb quiet root=UUID=1 rw';
const wish: JsonValue = { kvm: { ignoreMsrs: true } };

function bootWith(host: HostTree, words: string): void {
  host.put('/proc/cmdline', `${RUNNING} ${words}\n`);
}

async function itemOf(host: HostTree, desired: JsonValue = wish): Promise<SetupItem | undefined> {
  const { items } = await planHost(host.environment(), readDesiredState(desired));
  return items[0];
}

it('goes from missing over pending-reboot to ok, and to orphan when it is not wanted any more', async () => {
  using host = new HostTree(silverblue);
  expect(await itemOf(host)).toMatchObject({ state: 'missing' });
  const { needsReboot } = await applyHost(host.environment(), readDesiredState(wish));
  expect(needsReboot).toBe(true);
  expect(await itemOf(host)).toMatchObject({ state: 'pending-reboot' });
  bootWith(host, 'kvm.ignore_msrs=1');
  const made = await planHost(host.environment(), readDesiredState(wish));
  expect(made).toMatchObject({ items: [{ state: 'ok' }], actions: [], needsReboot: false });
  expect(await itemOf(host, {})).toMatchObject({ state: 'orphan', subject: 'kvm.ignore_msrs=1' });
});

it('is running-only where it was typed at the boot menu: the next boot would lose it', async () => {
  using host = new HostTree(silverblue);
  bootWith(host, 'kvm.ignore-msrs=1');
  expect(await itemOf(host)).toMatchObject({ state: 'running-only' });
  await applyHost(host.environment(), readDesiredState(wish));
  expect(await itemOf(host)).toMatchObject({ state: 'ok' });
});

it('is foreign-ok where somebody else configured it, and pending-reboot until that runs', async () => {
  using host = new HostTree({ ...silverblue, '/ostree/kargs': 'quiet kvm.ignore_msrs=1\n' });
  expect(await itemOf(host)).toMatchObject({ state: 'pending-reboot' });
  bootWith(host, 'kvm.ignore_msrs=1');
  expect(await itemOf(host)).toMatchObject({ state: 'foreign-ok' });
  expect((await applyHost(host.environment(), readDesiredState(wish))).steps).toEqual([]);
});

it('is conflicting where somebody else set another value, also where two sources differ', async () => {
  using host = new HostTree({ ...silverblue, '/ostree/kargs': 'quiet kvm.ignore_msrs=0\n' });
  expect(await itemOf(host)).toMatchObject({ state: 'conflicting' });
  host.put('/ostree/kargs', 'quiet kvm.ignore_msrs=1\n');
  host.put('/etc/modprobe.d/theirs.conf', 'options kvm ignore_msrs=0\n');
  expect(await itemOf(host)).toMatchObject({
    state: 'conflicting',
    reason: expect.stringContaining('/etc/modprobe.d/theirs.conf') as string,
  });
});

it('is modified where somebody else changed ours, and missing again where they took it away', async () => {
  using host = new HostTree(silverblue);
  await applyHost(host.environment(), readDesiredState(wish));
  host.put('/ostree/kargs', 'rhgb quiet root=UUID=1 rw kvm.ignore_msrs=0\n');
  expect(await itemOf(host)).toMatchObject({
    state: 'modified',
    remedy: expect.stringContaining('qmplug host rollback') as string,
  });
  expect((await applyHost(host.environment(), readDesiredState(wish))).steps).toEqual([]);
  host.put('/ostree/kargs', 'rhgb quiet root=UUID=1 rw\n');
  expect(await itemOf(host)).toMatchObject({
    state: 'missing',
    reason: 'it was ours, and somebody else took it away',
  });
});

it('shows what somebody made of a file of ours, and does not write over it', async () => {
  using host = new HostTree(silverblue);
  const desired = { memlock: [{ user: 'qemu', limit: '1G' }] };
  await applyHost(host.environment(), readDesiredState(desired));
  const path = '/etc/security/limits.d/50-qmplug.conf';
  const theirs = `${host.read(path) ?? ''}qemu hard nofile 4096\n`;
  host.put(path, theirs);
  const item = await itemOf(host, desired);
  expect(item).toMatchObject({ state: 'modified', subject: path });
  expect(item?.diff).toContain('-qemu hard nofile 4096');
  await applyHost(host.environment(), readDesiredState(desired));
  expect(host.read(path)).toBe(theirs);
});

it('is outdated where ours says something else than is wanted now', async () => {
  using host = new HostTree(silverblue);
  const limit = (text: string) => ({ memlock: [{ user: 'qemu', limit: text }] });
  await applyHost(host.environment(), readDesiredState(limit('1G')));
  expect(await itemOf(host, limit('2G'))).toMatchObject({ state: 'outdated' });
});

it('is unknown where it cannot be read, and nothing is done about it', async () => {
  const broken = { program: 'echo "no D-Bus here" >&2; exit 1' };
  using host = new HostTree({ ...silverblue, '/usr/bin/rpm-ostree': broken });
  expect(await itemOf(host)).toMatchObject({
    state: 'unknown',
    reason: expect.stringContaining('no D-Bus here') as string,
  });
  expect((await applyHost(host.environment(), readDesiredState(wish))).steps).toEqual([]);
});

it('holds what is ours while something that is wanted cannot be had', async () => {
  using host = new HostTree(silverblue);
  await applyHost(host.environment(), readDesiredState(wish));
  const gone = readDesiredState({ early: ['0000:09:00.0'] });
  const { steps, items } = await applyHost(host.environment(), gone);
  expect(items.map(({ state }) => state)).toEqual(['unmet']);
  expect(steps).toEqual([]);
  expect(host.read('/ostree/kargs')).toContain('kvm.ignore_msrs=1');
});
