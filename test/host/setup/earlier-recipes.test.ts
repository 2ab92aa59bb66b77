import { expect, it } from 'vitest';
import {
  adoptItem,
  applyHost,
  planHost,
  readDesiredState,
  type SetupItem,
} from '../../../src/host/setup/index.js';
import { desktop, EVERYTHING, plan } from './planning.js';
import * as trees from './stand-ins.js';
import { HostTree } from './tree.js';

it('nothing is fetched: every program that apply runs is one of the host', async () => {
  const { actions } = await plan(desktop, EVERYTHING);
  const programs = new Set(actions.flatMap(({ argv = [] }) => argv.map((words) => words[0])));
  expect([...programs].sort()).toEqual(['systemctl', 'udevadm', 'update-grub', 'update-initramfs']);
});

it('an artefact of an earlier recipe is told, and goes only when it was adopted', async () => {
  const path = '/etc/udev/rules.d/99-kvmfr.rules';
  using host = new HostTree({ ...trees.debian, [path]: 'SUBSYSTEM=="kvmfr", OWNER="root"\n' });
  const desired = readDesiredState({});
  const { notes } = await planHost(host.environment(), desired);
  expect(notes.map(({ text }) => text).join()).toContain(path);
  await applyHost(host.environment(), desired);
  expect(host.read(path)).toBeDefined();
  await adoptItem(host.environment(), desired, path);
  const { items }: { readonly items: readonly SetupItem[] } = await planHost(
    host.environment(),
    desired,
  );
  expect(items.map(({ state }) => state)).toEqual(['orphan']);
  await applyHost(host.environment(), desired);
  expect(host.read(path)).toBeUndefined();
});
