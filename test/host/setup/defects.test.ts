import { describe, expect, it } from 'vitest';
import type { JsonValue } from '../../../src/json.js';
import {
  adoptItem,
  applyHost,
  planHost,
  readDesiredState,
  rollbackHost,
  type SetupItem,
  type SetupPlan,
} from '../../../src/host/setup/index.js';
import * as trees from './stand-ins.js';
import { HostTree, type TreeEntry } from './tree.js';

type Tree = Readonly<Record<string, TreeEntry>>;

const RELEASE_MODULES = '/usr/lib/modules/6.1.0-50-amd64/modules.dep';
const VFIO_MODULES =
  'kernel/vfio.ko:\nkernel/vfio-pci.ko:\nkernel/vfio_iommu_type1.ko:\nkernel/kvm.ko:\nextra/kvmfr.ko:\n';
const kvmfrModule: Tree = { [RELEASE_MODULES]: VFIO_MODULES };

async function plan(tree: Tree, desired: JsonValue, architecture = 'x86_64'): Promise<SetupPlan> {
  using host = new HostTree(tree);
  // Awaited here: the tree goes with the block.
  return await planHost(host.environment({ architecture }), readDesiredState(desired));
}

const stateOf = ({ items }: Pick<SetupPlan, 'items'>, id: string): string | undefined =>
  items.find((item) => item.id === id)?.state;

const wantedText = ({ actions }: SetupPlan) =>
  actions.map(({ wanted, argv }) => `${wanted ?? ''} ${JSON.stringify(argv ?? [])}`).join('\n');

const EVERYTHING: JsonValue = {
  iommu: { mode: 'pt' },
  kvm: { ignoreMsrs: true, reportIgnoredMsrs: false, nested: true },
  vfio: { disableVga: true, disableIdleD3: true },
  kvmfr: { sizesMb: [128] },
  early: ['0000:01:00.0'],
  memlock: [{ unit: 'libvirtd.service', limit: '64G' }],
  fallback: 'blacklist',
};

const desktop: Tree = { ...trees.debian, ...kvmfrModule, ...trees.pciDevice('0000:01:00.0') };

describe('B1: one item is no gate for another', () => {
  it('applies what can be had and tells what cannot, and that is no success', async () => {
    using host = new HostTree(trees.debian);
    const desired = readDesiredState({ kvm: { ignoreMsrs: true }, early: ['0000:09:00.0'] });
    const { items, steps } = await applyHost(host.environment(), desired);
    expect(stateOf({ items }, 'kvm.ignoreMsrs')).toBe('pending-reboot');
    expect(stateOf({ items }, 'early.0000:09:00.0')).toBe('unmet');
    expect(steps.length).toBeGreaterThan(0);
  });

  it('sets kvm.ignore_msrs although report_ignored_msrs is not on the line', async () => {
    expect(wantedText(await plan(trees.debian, { kvm: { ignoreMsrs: true } }))).toContain(
      'kvm.ignore_msrs=1',
    );
  });
});

describe('B2, B3, B4: the rule for kvmfr', () => {
  const ruleOf = (made: SetupPlan) => made.actions.find(({ id }) => id.includes('udev'));

  it('B2: names no owner, whoever runs it', async () => {
    const rule = ruleOf(await plan(desktop, { kvmfr: { sizesMb: [64] } }));
    expect(rule?.wanted).not.toContain('OWNER');
    expect(rule?.wanted).toContain('GROUP="kvm", MODE="0660", TAG+="uaccess"');
  });

  it('B3: refuses a group that is not a system group, which systemd 258 drops the line for', async () => {
    const made = await plan(desktop, { kvmfr: { sizesMb: [64], group: 'admin' } });
    expect(stateOf(made, 'kvmfr.rule')).toBe('unmet');
    expect(ruleOf(made)).toBeUndefined();
  });

  it('B4: sorts before 73-seat-late.rules', async () => {
    const name = ruleOf(await plan(desktop, { kvmfr: { sizesMb: [64] } }))
      ?.id.split('/')
      .at(-1);
    expect(name).toBe('70-qmplug-kvmfr.rules');
    expect((name ?? '') < '73-seat-late.rules').toBe(true);
  });
});

describe('B5: amd_iommu=on is no option', () => {
  it.each(['on', 'pt', 'strict'])('is never written for iommu.mode %s', async (mode) => {
    const amd = {
      ...trees.debian,
      '/sys/firmware/acpi/tables/IVRS': '',
      '/proc/cpuinfo': 'vendor_id : AuthenticAMD\n',
    };
    expect(wantedText(await plan(amd, { iommu: { mode } }))).not.toContain('amd_iommu');
  });

  it('is told where it is', async () => {
    const tree = { ...trees.debian, '/proc/cmdline': 'quiet amd_iommu=on\n' };
    const { notes } = await plan(tree, { iommu: { mode: 'on' } });
    expect(notes.map(({ text }) => text).join()).toContain('amd_iommu=on');
  });
});

describe('B6, B7: everything that was added is found again, and nothing else', () => {
  it.each([
    ['Debian', desktop],
    ['rpm-ostree', { ...trees.silverblue, ...kvmfrModule, ...trees.pciDevice('0000:01:00.0') }],
    ['Fedora', { ...trees.fedora, ...kvmfrModule, ...trees.pciDevice('0000:01:00.0') }],
  ])('B7: puts back every kind of change: %s', async (_, tree) => {
    using host = new HostTree(tree);
    const before = host.fingerprint();
    await applyHost(host.environment(), readDesiredState(EVERYTHING));
    expect(host.fingerprint()).not.toEqual(before);
    const { refused } = await rollbackHost(host.environment());
    expect(refused).toEqual([]);
    expect(host.fingerprint()).toEqual(before);
  });

  it.each(['vfio-pci.ids', 'vfio_pci.ids'])(
    'B6: merges into a %s that was there, and out of it',
    async (key) => {
      using host = new HostTree({
        ...trees.silverblue,
        ...trees.pciDevice('0000:01:00.0'),
        '/ostree/kargs': `quiet ${key}=1234:5678\n`,
      });
      const desired = readDesiredState({ early: [{ device: '0000:01:00.0', method: 'ids' }] });
      await applyHost(host.environment(), desired);
      const merged = host.read('/ostree/kargs') ?? '';
      expect(merged).toContain(`${key}=1234:5678,10de:2204`);
      expect(merged.match(/vfio[-_]pci\.ids/g)).toHaveLength(1);
      expect((await applyHost(host.environment(), desired)).steps).toEqual([]);
      await rollbackHost(host.environment());
      expect(host.read('/ostree/kargs')).toBe(`quiet ${key}=1234:5678\n`);
    },
  );

  it('B6: quotes no value, which then would match nothing', async () => {
    using host = new HostTree(trees.silverblue);
    await applyHost(host.environment(), readDesiredState({ iommu: { mode: 'pt' } }));
    await rollbackHost(host.environment());
    expect(host.calls()).toEqual([
      'rpm-ostree [--append-if-missing=iommu=pt]',
      'rpm-ostree [--delete-if-present=iommu=pt]',
    ]);
  });

  it('B7: keeps the iommu=pt that the administrator had before', async () => {
    using host = new HostTree({ ...trees.silverblue, '/ostree/kargs': 'quiet iommu=pt\n' });
    const desired = readDesiredState({ iommu: { mode: 'pt' }, kvm: { ignoreMsrs: true } });
    const { items } = await applyHost(host.environment(), desired);
    expect(items.find(({ subject }) => subject === 'iommu=pt')?.state).not.toBe('ok');
    await rollbackHost(host.environment());
    expect(host.read('/ostree/kargs')).toBe('quiet iommu=pt\n');
  });
});

describe('B8: qemu.conf', () => {
  const libvirt = (text: string): Tree => ({ ...desktop, '/etc/libvirt/qemu.conf': text });

  it.each([
    ['commented out', '#cgroup_device_acl = [\n#    "/dev/null"\n#]\n', '"/dev/null"'],
    [
      'extended by hand',
      'cgroup_device_acl = [\n  "/dev/null", # "/dev/kvmfr0"\n  "/dev/mine"\n]\n',
      '"/dev/mine"',
    ],
    ['empty', '', '"/dev/kvm"'],
  ])('gets the node into a list that is %s', async (_, text, kept) => {
    using host = new HostTree(libvirt(text));
    await applyHost(host.environment(), readDesiredState({ kvmfr: { sizesMb: [64, 64] } }));
    const active = (host.read('/etc/libvirt/qemu.conf') ?? '').replace(/#.*$/gm, '');
    for (const node of ['"/dev/kvmfr0"', '"/dev/kvmfr1"', kept]) expect(active).toContain(node);
    await rollbackHost(host.environment());
    expect(host.read('/etc/libvirt/qemu.conf')).toBe(text);
  });

  it('fails visibly where the list cannot be read', async () => {
    const made = await plan(libvirt('cgroup_device_acl = [ oops\n'), { kvmfr: { sizesMb: [64] } });
    expect(stateOf(made, 'kvmfr.libvirt')).toBe('conflicting');
  });
});

it('B9: the SELinux module opens the type of the nodes alone, and relabels', async () => {
  const selinux = {
    ...desktop,
    '/sys/fs/selinux/enforce': '1',
    '/usr/sbin/semodule': { program: ':' },
  };
  const { actions } = await plan(selinux, { kvmfr: { sizesMb: [64] } });
  const policy = actions.find(({ id }) => id.endsWith('.cil'))?.wanted ?? '';
  expect(policy).toContain('qmplug_kvmfr_device_t');
  expect(policy).not.toMatch(/allow \S+ device_t/);
  const ran = actions.flatMap(({ argv = [] }) => argv.map((words) => words[0]));
  expect(ran).toEqual(expect.arrayContaining(['semodule', 'restorecon']));
});

it('B9: the module and the labels go again with a rollback', async () => {
  using host = new HostTree({
    ...desktop,
    '/sys/fs/selinux/enforce': '1',
    // Stand-in: keeps the list of modules in a file (semodule(8)).
    '/usr/sbin/semodule': {
      program:
        'f="$ROOT/var-modules"; case $1 in -l) cat "$f" 2>/dev/null; true ;; -i) echo qmplug_kvmfr >"$f" ;; -r) rm "$f" ;; esac',
    },
    '/usr/sbin/restorecon': { program: 'echo restorecon >>"$ROOT/calls"' },
  });
  const before = host.fingerprint();
  await applyHost(host.environment(), readDesiredState({ kvmfr: { sizesMb: [64] } }));
  expect(host.read('/var-modules')).toBe('qmplug_kvmfr\n');
  expect((await rollbackHost(host.environment())).refused).toEqual([]);
  expect(host.fingerprint()).toEqual(before);
  expect(host.calls()).toEqual(['restorecon', 'restorecon']);
});

describe('B10, B11: image systems', () => {
  const image: Tree = { ...trees.silverblue, ...trees.pciDevice('0000:01:00.0') };
  const byIds = readDesiredState({ early: [{ device: '0000:01:00.0', method: 'ids' }] });

  it('B10, B11: no initramfs is made, enabled or written for, the second time neither', async () => {
    using host = new HostTree(image);
    await applyHost(host.environment(), byIds);
    await applyHost(host.environment(), byIds);
    expect(host.calls().filter((call) => !call.startsWith('rpm-ostree '))).toEqual([]);
    expect(host.calls()).toHaveLength(1);
    expect(host.read('/etc/dracut.conf.d/90-qmplug.conf')).toBeUndefined();
  });

  it('B11: says that the modules are missing from the image, and stops there', async () => {
    const lacking = { ...image, '/boot/initramfs-6.1.0-50-amd64.img': 'usr/lib/systemd/systemd\n' };
    using host = new HostTree(lacking);
    const made = await planHost(host.environment(), byIds);
    expect(made.items.find(({ id }) => id === 'initramfs')).toMatchObject({
      state: 'unmet',
      reason: expect.stringContaining(
        'missing from the image: vfio, vfio_iommu_type1, vfio_pci',
      ) as string,
    });
  });
});

describe('B13: the carrier follows where the module is', () => {
  const builtIn: Tree = {
    ...desktop,
    '/usr/lib/modules/6.1.0-50-amd64/modules.builtin':
      'kernel/vfio.ko\nkernel/vfio-pci.ko\nkernel/vfio_iommu_type1.ko\nkernel/kvm.ko\n',
  };

  it('puts nothing for a built-in module into modprobe.d', async () => {
    const { actions } = await plan(builtIn, {
      vfio: { disableVga: true },
      kvm: { ignoreMsrs: true },
    });
    expect(actions.map(({ id }) => id).filter((id) => id.includes('modprobe'))).toEqual([]);
    expect(wantedText(await plan(builtIn, { vfio: { disableVga: true } }))).toContain(
      'vfio_pci.disable_vga=1',
    );
  });

  it('pairs ids with the modules in the initramfs', async () => {
    const { actions } = await plan(desktop, { early: [{ device: '0000:01:00.0', method: 'ids' }] });
    expect(actions.map(({ id }) => id)).toEqual(
      expect.arrayContaining(['/etc/initramfs-tools/modules', 'update-initramfs -u -k all']),
    );
  });

  it('needs no initramfs for ids where vfio_pci is built in', async () => {
    const made = await plan(builtIn, { early: [{ device: '0000:01:00.0', method: 'ids' }] });
    expect(stateOf(made, 'initramfs')).toBe('foreign-ok');
    expect(made.actions.some(({ id }) => id.includes('initramfs'))).toBe(false);
  });
});

it('B14: a regular file at /dev/kvmfr0 is told before a VM starts on it', async () => {
  using host = new HostTree({ ...desktop, '/dev/kvmfr0': 'picture' });
  const made = await planHost(host.environment(), readDesiredState({ kvmfr: { sizesMb: [64] } }));
  expect(made.items.find(({ id }) => id === 'kvmfr.node')).toMatchObject({ state: 'conflicting' });
});

it.each(['aarch64', 's390x', 'riscv64'])(
  'B15: guesses no vendor argument on %s',
  async (architecture) => {
    const made = await plan({ ...trees.debian }, { iommu: { mode: 'strict' } }, architecture);
    expect(wantedText(made)).not.toMatch(/intel_iommu|amd_iommu/);
    expect(wantedText(made)).toContain('iommu.strict=1');
  },
);

it('B16: nothing is fetched: every program that apply runs is one of the host', async () => {
  const { actions } = await plan(desktop, EVERYTHING);
  const programs = new Set(actions.flatMap(({ argv = [] }) => argv.map((words) => words[0])));
  expect([...programs].sort()).toEqual(['systemctl', 'udevadm', 'update-grub', 'update-initramfs']);
});

describe('B17: one source for each parameter', () => {
  it('carries the size of kvmfr once, and says where', async () => {
    for (const tree of [desktop, { ...trees.silverblue, ...kvmfrModule }]) {
      const made = await plan(tree, { kvmfr: { sizesMb: [128] } });
      expect(wantedText(made).match(/static_size_mb=128/g)?.length ?? 0).toBeGreaterThan(0);
      const carriers = made.actions.filter(({ wanted }) => wanted?.includes('static_size_mb'));
      expect(carriers).toHaveLength(1);
      expect(made.notes.find(({ item }) => item === 'kvmfr.size')?.text).toContain('carried by');
    }
  });

  it('refuses where modprobe.d says something else', async () => {
    const tree = { ...desktop, '/etc/modprobe.d/mine.conf': 'options kvm ignore_msrs=0\n' };
    expect(stateOf(await plan(tree, { kvm: { ignoreMsrs: true } }), 'kvm.ignoreMsrs')).toBe(
      'conflicting',
    );
  });
});

it('B18: what needs something that is not there is no success', async () => {
  const none = { ...trees.debian, '/usr/lib/modules/6.1.0-50-amd64/modules.dep': '' };
  const made = await plan(
    { ...none, ...trees.pciDevice('0000:01:00.0') },
    { early: ['0000:01:00.0'] },
  );
  expect(stateOf(made, 'early')).toBe('unmet');
});

it('B19: another manager that switches the IOMMU off is a conflict, and not fought', async () => {
  using host = new HostTree({ ...trees.silverblue, '/ostree/kargs': 'quiet amd_iommu=off\n' });
  const desired = readDesiredState({ iommu: { mode: 'on' } });
  for (let turn = 0; turn < 3; turn += 1) {
    const { items, steps } = await applyHost(host.environment(), desired);
    expect(stateOf({ items }, 'iommu')).toBe('conflicting');
    expect(steps).toEqual([]);
  }
  expect(host.calls()).toEqual([]);
});

describe('quickpassthrough', () => {
  it('asks the kernel whether there is a vfio_virqfd', async () => {
    const withIt = {
      ...desktop,
      [RELEASE_MODULES]: `${VFIO_MODULES}kernel/vfio_virqfd.ko:\n`,
    };
    const block = (made: SetupPlan) =>
      made.actions.find(({ id }) => id === '/etc/initramfs-tools/modules')?.wanted;
    expect(block(await plan(withIt, { early: ['0000:01:00.0'] }))).toContain('vfio_virqfd');
    expect(block(await plan(desktop, { early: ['0000:01:00.0'] }))).not.toContain('vfio_virqfd');
  });
});

it('nixos-vfio: several devices are counted from 0, everywhere', async () => {
  const tree = {
    ...desktop,
    '/etc/libvirt/qemu.conf': '',
    '/sys/kernel/security/apparmor/profiles': '',
  };
  const made = await plan(tree, { kvmfr: { sizesMb: [32, 64, 128] } });
  const text = wantedText(made);
  for (const index of [0, 1, 2]) expect(text).toContain(`/dev/kvmfr${index}`);
  expect(text).not.toContain('/dev/kvmfr3');
  expect(text).toContain('static_size_mb=32,64,128');
});

it('microvm.nix: a device that does not exist makes no rule and no path', async () => {
  const made = await plan(trees.debian, { early: ['0000:01:00.0'] });
  expect(made.actions).toEqual([]);
  expect(() => readDesiredState({ early: ['../../etc/passwd'] })).toThrow(
    expect.objectContaining({ code: 'BAD_DESIRED_STATE' }) as Error,
  );
  expect(() => readDesiredState({ memlock: [{ unit: '../x.service', limit: '1G' }] })).toThrow(
    expect.objectContaining({ code: 'BAD_DESIRED_STATE' }) as Error,
  );
});

it('virt-host-validate: groups that are there need no argument', async () => {
  const made = await plan(trees.debian, { iommu: { mode: 'on' } });
  expect(stateOf(made, 'iommu')).toBe('foreign-ok');
  expect(made.actions).toEqual([]);
});

it('kubevirt-gpu-device-plugin: the menu that the firmware reads is the one that is made', async () => {
  const { actions } = await plan(trees.grubOnly, { iommu: { mode: 'pt' } });
  expect(actions.flatMap(({ argv = [] }) => argv)).toContainEqual([
    'grub2-mkconfig',
    '-o',
    '/boot/efi/EFI/vendor/grub.cfg',
  ]);
  const bios = Object.fromEntries(
    Object.entries(trees.grubOnly).filter(([path]) => !path.startsWith('/sys/firmware/efi')),
  );
  const onBios = await plan(bios, { iommu: { mode: 'pt' } });
  expect(onBios.actions.flatMap(({ argv = [] }) => argv)).toContainEqual([
    'grub2-mkconfig',
    '-o',
    '/boot/grub2/grub.cfg',
  ]);
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
