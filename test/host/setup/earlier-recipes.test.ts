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

it.each([
  ['/var/lib/selinux/targeted/active/modules/400/kvmfr/cil', 'x', 'semodule -r kvmfr'],
  [
    '/etc/selinux/targeted/contexts/files/file_contexts.local',
    '/dev/kvmfr0 system_u:object_r:svirt_tmpfs_t:s0\n',
    'semanage fcontext -d',
  ],
  ['/home/ann/.config/selinux_te/kvmfr.te', 'x', 'rm -r /home/ann/.config/selinux_te'],
  [
    '/ostree/deploy/default/deploy/1.0.origin',
    '[rpmostree]\nregenerate-initramfs=true\n',
    'rpm-ostree initramfs --disable',
  ],
])('tells of %s, with what removes it, and leaves it', async (path, text, remedy) => {
  using host = new HostTree({ ...trees.debian, [path]: text });
  const { notes } = await planHost(host.environment(), readDesiredState({}));
  expect(notes.map((note) => note.text).join('\n')).toContain(remedy);
  await applyHost(host.environment(), readDesiredState({}));
  expect(host.read(path)).toBe(text);
});

it('knows the line of a recipe, and removes a word of it only when it was adopted', async () => {
  const line = 'quiet amd_iommu=on intel_iommu=on iommu=pt rd.driver.pre=vfio_pci mine=1';
  using host = new HostTree({ ...trees.silverblue, '/ostree/kargs': `${line}\n` });
  const desired = readDesiredState({});
  const { notes, actions } = await planHost(host.environment(), desired);
  expect(notes.map((note) => note.text).join('\n')).toContain(
    'amd_iommu=on intel_iommu=on iommu=pt rd.driver.pre=vfio_pci: this looks like',
  );
  expect(actions).toEqual([]);
  await adoptItem(host.environment(), desired, 'amd_iommu=on');
  await applyHost(host.environment(), desired);
  expect(host.read('/ostree/kargs')).toBe(`${line.replace('amd_iommu=on ', '')}\n`);
});
