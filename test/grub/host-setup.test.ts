import { beforeAll, describe, expect, it } from 'vitest';
import { runSetupScenario } from '../../scripts/lab/setup-scenario.mjs';

const desired = {
  iommu: { mode: 'pt' },
  early: ['0000:00:05.0'],
  kvm: { ignoreMsrs: true, reportIgnoredMsrs: false },
  vfio: { disableVga: true },
};

// The way back is GRUB's doing, whatever made the initramfs: it costs a boot, and one machine shows it.
const MACHINES = [
  { program: 'initramfs-tools', desired: { ...desired, fallback: 'blacklist' }, undoneAt: 2 },
  { program: 'dracut', desired, undoneAt: 1 },
] as const;

/**
 * Where set-up and the programs that it runs may leave anything. mkinitramfs and dracut build in a folder of
 * /var/tmp, and remove it.
 */
const PLACES = /^\/(etc|boot)(\/|$)|^\/var\/lib(\/(qmplug|initramfs-tools)(\/|$)|$)|^\/var\/tmp$/;

const runs = new Map<string, ReadonlyMap<string, string>>();
/** What a machine told, by stage and key: `1 cmdline`. */
const seen = (program: string) => (key: string) => runs.get(program)?.get(key);

beforeAll(async () => {
  // At once: each of them mostly keeps one processor busy.
  const ended = await Promise.all(MACHINES.map((machine) => runSetupScenario(machine)));
  for (const [index, { program }] of MACHINES.entries()) {
    const told = ended[index];
    if (told !== undefined) runs.set(program, told);
  }
});

describe.each(MACHINES)('a Debian with its own GRUB and $program', ({ program, undoneAt }) => {
  const told = seen(program);

  it('is changed by one apply, as the plan said, and not by a second', () => {
    expect(told('0 plan')).toBe('7');
    expect(told('0 apply')).toBe('0');
    expect(told('0 again')).toBe('0');
  });

  it('is touched nowhere but where set-up and the programs of GRUB and the initramfs write', () => {
    const touched = told('0 touched')?.split(' ') ?? [];
    expect(touched).toContain('/etc/default/grub.d/50-qmplug.cfg');
    expect(touched.filter((path) => !PLACES.test(path))).toEqual([]);
  });

  it('has the modules and the rule in the initramfs that boots next', () => {
    for (const part of ['vfio-pci.ko', 'vfio_iommu_type1.ko', '60-qmplug-vfio.rules']) {
      expect(told('0 image')).toContain(part);
    }
  });

  it('boots through GRUB with the arguments, which verify sees, and only then', () => {
    expect(told('0 cmdline')).not.toContain('iommu=pt');
    expect(told('0 verify')).toBe('7');
    for (const word of ['iommu=pt', 'kvm.ignore_msrs=1', 'kvm.report_ignored_msrs=0']) {
      expect(told('1 cmdline')?.split(' ')).toContain(word);
    }
    expect(told('1 verify')).toBe('0');
    expect(told('1 msrs')).toBe('Y');
  });

  it('binds the device that was named before its native driver, and not its twin', () => {
    expect(told('0 early')).toBe('e1000e');
    expect(told('1 early')).toBe('vfio-pci');
    expect(told('1 twin')).toBe('e1000e');
  });

  it('is byte for byte what it was after a rollback, and boots so', () => {
    expect(told(`${undoneAt} rollback`)).toBe('0');
    expect(told(`${undoneAt} identical`)).toBe('0');
    expect(told('3 cmdline')).toBe(told('0 cmdline'));
    expect(told('3 early')).toBe('e1000e');
    expect(told('3 journal')).toBe('0');
  });
});

it('gives the device to its own driver in a boot of the fallback entry', () => {
  const told = seen('initramfs-tools');
  expect(told('2 cmdline')).toContain('module_blacklist=vfio_pci');
  expect(told('2 early')).toBe('e1000e');
  expect(told('2 vfio')).toBe('0');
});
