import { beforeAll, describe, expect, it } from 'vitest';
import { runSetupScenario } from '../../scripts/lab/grub-host.mjs';

const desired = {
  iommu: { mode: 'pt' },
  early: ['0000:00:05.0'],
  kvm: { ignoreMsrs: true, reportIgnoredMsrs: false },
  vfio: { disableVga: true },
  fallback: 'blacklist',
};

describe('a machine with Debian, its own GRUB and its own initramfs', () => {
  const seen = new Map<string, string>();

  beforeAll(async () => {
    const said = await runSetupScenario(desired);
    for (const [, key = '', value = ''] of said.matchAll(/^LAB: (\d \w+) ?(.*?)\r?$/gm)) {
      seen.set(key, value);
    }
  });

  it('is changed by one apply and not by a second', () => {
    expect(seen.get('0 apply')).toBe('0');
    expect(seen.get('0 again')).toBe('0');
  });

  it('has the module and the rule in the initramfs that update-initramfs made', () => {
    expect(seen.get('0 image')).toContain('vfio-pci.ko');
    expect(seen.get('0 image')).toContain('etc/udev/rules.d/60-qmplug-vfio.rules');
  });

  it('boots through GRUB with the arguments, which verify sees', () => {
    expect(seen.get('0 cmdline')).not.toContain('iommu=pt');
    for (const word of ['iommu=pt', 'kvm.ignore_msrs=1', 'kvm.report_ignored_msrs=0']) {
      expect(seen.get('1 cmdline')?.split(' ')).toContain(word);
    }
    expect(seen.get('1 verify')).toBe('0');
    expect(seen.get('1 msrs')).toBe('Y');
  });

  it('binds the device that was named before its native driver, and not its twin', () => {
    expect(seen.get('0 early')).toBe('e1000e');
    expect(seen.get('1 early')).toBe('vfio-pci');
    expect(seen.get('1 twin')).toBe('e1000e');
  });

  it('gives the device to its own driver in a boot of the fallback entry', () => {
    expect(seen.get('2 cmdline')).toContain('module_blacklist=vfio_pci');
    expect(seen.get('2 early')).toBe('e1000e');
    expect(seen.get('2 vfio')).toBe('0');
  });

  it('is byte for byte what it was after a rollback, and boots so', () => {
    expect(seen.get('2 rollback')).toBe('0');
    expect(seen.get('2 identical')).toBe('0');
    expect(seen.get('3 cmdline')).toBe(seen.get('0 cmdline'));
    expect(seen.get('3 early')).toBe('e1000e');
    expect(seen.get('3 journal')).toBe('0');
  });
});
