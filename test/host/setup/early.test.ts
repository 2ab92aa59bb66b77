import { describe, expect, it } from 'vitest';
import {
  applyHost,
  planHost,
  readDesiredState,
  type SetupPlan,
} from '../../../src/host/setup/index.js';
import {
  desktop,
  plan,
  RELEASE_MODULES,
  stateOf,
  VFIO_MODULES,
  wantedText,
  type Tree,
} from './planning.js';
import * as trees from './stand-ins.js';
import { HostTree } from './tree.js';

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

it('a device that does not exist makes no rule and no path', async () => {
  const made = await plan(trees.debian, { early: ['0000:01:00.0'] });
  expect(made.actions).toEqual([]);
  expect(() => readDesiredState({ early: ['../../etc/passwd'] })).toThrow(
    expect.objectContaining({ code: 'BAD_DESIRED_STATE' }) as Error,
  );
  expect(() => readDesiredState({ memlock: [{ unit: '../x.service', limit: '1G' }] })).toThrow(
    expect.objectContaining({ code: 'BAD_DESIRED_STATE' }) as Error,
  );
});

const bound = (bdf: string, driver: string): Tree => ({
  ...trees.pciDevice(bdf),
  [`/sys/bus/pci/drivers/${driver}/.keep`]: '',
  [`/sys/bus/pci/devices/${bdf}/driver`]: { link: `../../drivers/${driver}` },
});

describe('what counts is the driver that the device has', () => {
  it('is not there before the boot, and there behind it', async () => {
    using host = new HostTree({ ...desktop, ...bound('0000:01:00.0', 'nouveau') });
    const desired = readDesiredState({ early: ['0000:01:00.0'] });
    const before = await planHost(host.environment(), desired);
    expect(stateOf(before, 'early.0000:01:00.0')).toBe('missing');
    const { items, needsReboot } = await applyHost(host.environment(), desired);
    expect(stateOf({ items }, 'early.0000:01:00.0')).toBe('pending-reboot');
    expect(needsReboot).toBe(true);
    host.remove('/sys/bus/pci/devices/0000:01:00.0/driver');
    host.put('/sys/bus/pci/drivers/vfio-pci/.keep', '');
    host.put('/sys/bus/pci/devices/0000:01:00.0/driver', { link: '../../drivers/vfio-pci' });
    const after = await planHost(host.environment(), desired);
    expect(after).toMatchObject({ needsReboot: false, actions: [] });
    expect(stateOf(after, 'early.0000:01:00.0')).toBe('ok');
  });
});

describe('ids take every device that has them', () => {
  const twins = { ...desktop, ...trees.pciDevice('0000:02:00.0') };
  const byIds = (device: string) => ({ device, method: 'ids' });

  it('is refused where a twin would be taken that nobody named', async () => {
    const made = await plan(twins, { early: [byIds('0000:01:00.0')] });
    expect(made.items.find(({ id }) => id === 'early.ids')).toMatchObject({
      state: 'conflicting',
      reason: expect.stringContaining('0000:02:00.0') as string,
    });
    expect(wantedText(made)).not.toContain('vfio-pci.ids');
  });

  it('is done where both are named, whatever the method of the other', async () => {
    const made = await plan(twins, { early: [byIds('0000:01:00.0'), '0000:02:00.0'] });
    expect(wantedText(made)).toContain('vfio-pci.ids=10de:2204');
  });

  it('is not done by a rule, which asks for the address', async () => {
    const made = await plan(twins, { early: ['0000:01:00.0'] });
    expect(wantedText(made)).toContain('KERNEL=="0000:01:00.0"');
    expect(wantedText(made)).not.toContain('KERNEL=="0000:02:00.0"');
  });
});

it('tells of the group that a device brings along, and of the screen that goes dark', async () => {
  const group: Tree = {
    ...desktop,
    ...bound('0000:01:00.1', 'snd_hda_intel'),
    '/sys/bus/pci/devices/0000:01:00.0/boot_vga': '1\n',
    '/sys/kernel/iommu_groups/7/devices/.keep': '',
    '/sys/bus/pci/devices/0000:01:00.0/iommu_group': { link: '../../../../kernel/iommu_groups/7' },
    '/sys/bus/pci/devices/0000:01:00.1/iommu_group': { link: '../../../../kernel/iommu_groups/7' },
  };
  const { notes } = await plan(group, { early: ['0000:01:00.0'] });
  const text = notes.map((note) => note.text).join('\n');
  expect(text).toContain('0000:01:00.1 (snd_hda_intel) is in IOMMU group 7 too');
  expect(text).toContain('0000:01:00.0 shows the console');
});

it('makes a hook that lets an image be made where the rule is gone', async () => {
  const { actions } = await plan(desktop, { early: ['0000:01:00.0'] });
  const hook = actions.find(({ id }) => id === '/etc/initramfs-tools/hooks/qmplug')?.wanted ?? '';
  expect(hook).toContain('if [ -e /etc/udev/rules.d/60-qmplug-vfio.rules ]; then copy_file rule');
  expect(hook.trimEnd().endsWith('exit 0')).toBe(true);
});
