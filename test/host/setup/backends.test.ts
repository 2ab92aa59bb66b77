import { describe, expect, it } from 'vitest';
import {
  applyHost,
  planHost,
  readDesiredState,
  rollbackHost,
} from '../../../src/host/setup/index.js';
import * as trees from './stand-ins.js';
import { HostTree, type TreeEntry } from './tree.js';

const desired = readDesiredState({ iommu: { mode: 'pt' }, kvm: { ignoreMsrs: true } });
const WORDS = ['iommu=pt', 'kvm.ignore_msrs=1'];

interface Case {
  readonly name: string;
  readonly tree: Readonly<Record<string, TreeEntry>>;
  readonly backend: string;
  /** Where the arguments end up. */
  readonly where: string;
  readonly isMachine?: boolean;
}

// Every program is a stand-in; where its behaviour comes from stands at its tree.
const CASES: readonly Case[] = [
  { name: 'Debian', tree: trees.debian, backend: 'grub-drop-in', where: '/boot/grub/grub.cfg' },
  { name: 'rpm-ostree', tree: trees.silverblue, backend: 'rpm-ostree', where: '/ostree/kargs' },
  { name: 'Fedora', tree: trees.fedora, backend: 'grubby', where: '/boot/args' },
  {
    name: 'GRUB alone',
    tree: trees.grubOnly,
    backend: 'grub-edit',
    where: '/boot/efi/EFI/vendor/grub.cfg',
  },
  {
    name: 'Pop!_OS',
    tree: trees.popOs,
    backend: 'kernelstub',
    where: '/etc/kernelstub/configuration',
  },
  {
    name: 'systemd-boot',
    tree: trees.systemdBoot,
    backend: 'kernel-install',
    where: '/boot/loader/entries/1.conf',
  },
  { name: 'Proxmox', tree: trees.proxmox, backend: 'kernel-install', where: '/etc/kernel/cmdline' },
  {
    name: 'bootc',
    tree: trees.bootcHost,
    backend: 'bootc-loader-entries',
    where: '/boot/loader/entries/ostree-1.conf',
  },
  {
    name: 'a bootc image',
    tree: trees.bootcBuild,
    backend: 'bootc-image',
    where: '/usr/lib/bootc/kargs.d/50-qmplug.toml',
    isMachine: false,
  },
];

describe.each(CASES)('$name (stand-ins)', ({ tree, backend, where, isMachine = true }) => {
  it('is found by its mechanism, takes the arguments once and gives exactly them back', async () => {
    using host = new HostTree(tree);
    const before = host.fingerprint();
    const environment = host.environment({ isMachine });
    const plan = await planHost(environment, desired);
    expect(plan.backend).toBe(backend);
    await applyHost(environment, desired);
    const line = host.read(where)?.replace(/^x-options.*$/m, '') ?? '';
    for (const word of WORDS) expect(line.split(word)).toHaveLength(2);
    const applied = host.fingerprint();
    expect((await applyHost(environment, desired)).steps).toEqual([]);
    expect(host.fingerprint()).toEqual(applied);
    await rollbackHost(environment);
    expect(host.fingerprint()).toEqual(before);
  });

  it('leaves alone what was there before, in either spelling, and does not add it again', async () => {
    using host = new HostTree(tree);
    const environment = host.environment({ isMachine });
    await applyHost(environment, readDesiredState({ kvm: { ignoreMsrs: true } }));
    const { state } = environment;
    // What is configured now is somebody else's: the journal that says otherwise is gone.
    for (const name of await state.list('plans')) await state.remove(`plans/${name}`);
    const theirs = host.fingerprint();
    const plan = await planHost(environment, readDesiredState({ kvm: { ignoreMsrs: true } }));
    expect(plan.actions).toEqual([]);
    expect(plan.items.map((item) => item.state)).not.toContain('ok');
    await rollbackHost(environment);
    expect(host.fingerprint()).toEqual(theirs);
  });
});

it.each(['"$(cat /etc/words)"', '"${GRUB_CMDLINE_LINUX_DEFAULT:+x }iommu=pt"', '"`words`"'])(
  'does not take %s for words: only a shell can tell',
  async (value) => {
    const theirs = `GRUB_CMDLINE_LINUX_DEFAULT=${value}\n`;
    using host = new HostTree({ ...trees.debian, '/etc/default/grub.d/10-theirs.cfg': theirs });
    const plan = await planHost(host.environment(), desired);
    expect(plan.items).toContainEqual(
      expect.objectContaining({
        state: 'unknown',
        reason: expect.stringContaining('only a shell can tell') as string,
      }),
    );
  },
);

it.each([
  ['NixOS', trees.nixosHost, 'nixos', 'boot.kernelParams = [ "iommu=pt" "kvm.ignore_msrs=1" ];'],
  ['no boot loader that is known', trees.unknownHost, 'none', 'iommu=pt'],
])('prints and never writes: %s', async (_, tree, backend, text) => {
  using host = new HostTree(tree);
  const before = host.fingerprint();
  const plan = await planHost(host.environment(), desired);
  expect(plan.backend).toBe(backend);
  expect(plan.notes.map((note) => note.text).join('\n')).toContain(text);
  await applyHost(host.environment(), readDesiredState({ iommu: { mode: 'pt' } }));
  expect(host.fingerprint()).toEqual(before);
});
