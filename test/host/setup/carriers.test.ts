import { describe, expect, it } from 'vitest';
import { desktop, kvmfrModule, plan, stateOf, wantedText, type Tree } from './planning.js';
import * as trees from './stand-ins.js';

describe('the carrier follows where the module is', () => {
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

  it('prints the argument for a built-in module where nothing here sets arguments', async () => {
    const tree: Tree = {
      ...trees.unknownHost,
      '/usr/lib/modules/6.1.0-50-amd64/modules.builtin': 'kernel/kvm.ko\n',
    };
    const made = await plan(tree, { kvm: { ignoreMsrs: true } });
    expect(made.actions).toEqual([]);
    expect(made.notes.map(({ text }) => text).join()).toContain('kvm.ignore_msrs=1');
    const asModule = await plan(trees.unknownHost, { kvm: { ignoreMsrs: true } });
    expect(asModule.actions.map(({ id }) => id)).toEqual(['/etc/modprobe.d/qmplug.conf']);
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

describe('one source for each parameter', () => {
  it('carries the size of kvmfr once, and says where', async () => {
    for (const tree of [desktop, { ...trees.silverblue, ...kvmfrModule }]) {
      const made = await plan(tree, { kvmfr: { sizesMb: [128] } });
      expect(wantedText(made).match(/static_size_mb=128/g)?.length ?? 0).toBeGreaterThan(0);
      const carriers = made.actions.filter(({ wanted }) => wanted?.includes('static_size_mb'));
      expect(carriers).toHaveLength(1);
      const isFile = carriers[0]?.kind === 'WriteFile';
      const options = made.actions.filter(({ id }) => id.startsWith('/etc/modprobe.d/'));
      expect(options).toHaveLength(isFile ? 1 : 0);
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

it('the menu that the firmware reads is the one that is made', async () => {
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
