import { describe, expect, it } from 'vitest';
import {
  applyHost,
  planHost,
  readDesiredState,
  rollbackHost,
} from '../../../src/host/setup/index.js';
import { stateOf, type Tree } from './planning.js';
import * as trees from './stand-ins.js';
import { HostTree } from './tree.js';

const card = trees.pciDevice('0000:01:00.0');
const RULE = 'etc/udev/rules.d/60-qmplug-vfio.rules';
const byRule = { early: ['0000:01:00.0'] };
const byIds = { early: [{ device: '0000:01:00.0', method: 'ids' }] };

// Every program is a stand-in that makes an image as a list of names; the sources stand at the trees.
describe.each([
  ['initramfs-tools', trees.debian, '/boot/initrd.img-6.1.0-50-amd64'],
  ['dracut', trees.fedora, '/boot/initramfs-6.1.0-50-amd64.img'],
  ['mkinitcpio', trees.arch, '/boot/initramfs-linux.img'],
])('%s (stand-in)', (_, tree, image) => {
  it('puts the modules and the rule into the image, once, and takes exactly them back', async () => {
    using host = new HostTree({ ...tree, ...card });
    const before = host.fingerprint();
    const environment = host.environment();
    await applyHost(environment, readDesiredState(byRule));
    const inside = host.read(image) ?? '';
    for (const part of ['vfio-pci.ko', 'vfio_iommu_type1.ko', 'vfio.ko', RULE]) {
      expect(inside.replaceAll('vfio_pci', 'vfio-pci')).toContain(part);
    }
    expect((await applyHost(environment, readDesiredState(byRule))).steps).toEqual([]);
    expect((await rollbackHost(environment)).refused).toEqual([]);
    expect(host.fingerprint()).toEqual(before);
  });

  it('looks into the image, not at its configuration: one made without the modules is made anew', async () => {
    using host = new HostTree({ ...tree, ...card });
    const environment = host.environment();
    await applyHost(environment, readDesiredState(byRule));
    const made = host.read(image);
    host.put(image, 'init\n');
    const plan = await planHost(environment, readDesiredState(byRule));
    expect(stateOf(plan, 'initramfs.content')).toBe('missing');
    await applyHost(environment, readDesiredState(byRule));
    expect(host.read(image)).toBe(made);
  });
});

it('loads the modules before those of other drivers (mkinitcpio, stand-in)', async () => {
  using host = new HostTree({ ...trees.arch, ...card });
  await applyHost(host.environment(), readDesiredState(byIds));
  expect(host.read('/etc/mkinitcpio.conf.d/qmplug.conf')).toContain(
    'MODULES=(vfio vfio_iommu_type1 vfio_pci "${MODULES[@]}")',
  );
});

it('includes and loads: force_drivers with a blank on either side, and rd.driver.pre (dracut, stand-in)', async () => {
  using host = new HostTree({ ...trees.fedora, ...card });
  await applyHost(host.environment(), readDesiredState(byRule));
  const text = host.read('/etc/dracut.conf.d/90-qmplug.conf') ?? '';
  expect(text).toMatch(/^force_drivers\+=" vfio vfio_iommu_type1 vfio_pci "$/m);
  expect(text).toMatch(/^install_items\+=" \/etc\/udev\/rules\.d\/60-qmplug-vfio\.rules "$/m);
  expect(host.read('/boot/args')).toContain('rd.driver.pre=vfio-pci');
});

describe('booster (stand-in)', () => {
  const booster: Tree = { ...trees.boosterHost, ...card };

  it('is told that a rule binds nothing there', async () => {
    using host = new HostTree(booster);
    const plan = await planHost(host.environment(), readDesiredState(byRule));
    expect(stateOf(plan, 'initramfs')).toBe('unmet');
  });

  it.each([
    ['without the key', 'network: false\n', 'network: false\n'],
    ['with modules of others', 'modules_force_load: nvme,e1000e # boot\n', 'nvme,e1000e,vfio'],
    ['with modules in quotes', "modules_force_load: 'nvme'\n", 'nvme,vfio'],
    ['with the key alone', 'modules_force_load:\nnetwork: false\n', 'network: false'],
    ['with no file', undefined, ''],
  ])('gets the modules into a configuration %s, whose keys stay unique', async (_, text, kept) => {
    using host = new HostTree(
      text === undefined ? booster : { ...booster, '/etc/booster.yaml': text },
    );
    await applyHost(host.environment(), readDesiredState(byIds));
    const yaml = host.read('/etc/booster.yaml') ?? '';
    expect(yaml.match(/^modules_force_load:/gm)).toHaveLength(1);
    expect(yaml).toMatch(/^modules_force_load: \S*vfio,vfio_iommu_type1,vfio_pci/m);
    expect(yaml).toContain(kept);
    expect((await rollbackHost(host.environment())).refused).toEqual([]);
    expect(host.read('/etc/booster.yaml')).toBe(text);
    expect(host.read('/boot/booster-linux.img')).not.toContain('vfio');
  });

  it('refuses a configuration that it cannot read', async () => {
    const text = 'modules_force_load:\n  - nvme\n';
    using host = new HostTree({ ...booster, '/etc/booster.yaml': text });
    const plan = await planHost(host.environment(), readDesiredState(byIds));
    expect(stateOf(plan, 'initramfs')).toBe('conflicting');
  });
});

it('takes dracut where initramfs-tools left only its configuration', async () => {
  const rest: Tree = {
    ...trees.fedora,
    ...card,
    '/etc/initramfs-tools/modules': '# List of modules\n',
    '/usr/sbin/update-initramfs': { program: 'exit 0' },
  };
  using host = new HostTree(rest);
  await applyHost(host.environment(), readDesiredState(byRule));
  expect(host.read('/etc/dracut.conf.d/90-qmplug.conf')).toBeDefined();
  expect(host.read('/etc/initramfs-tools/modules')).toBe('# List of modules\n');
});

it('writes into an image below /usr, beside what the image has, and runs nothing (dracut, stand-in)', async () => {
  using host = new HostTree({ ...trees.bootcBuild, ...card });
  const environment = host.environment({ isMachine: false });
  await applyHost(environment, readDesiredState(byIds));
  expect(host.read('/usr/lib/dracut/dracut.conf.d/90-qmplug.conf')).toContain('force_drivers+=');
  expect(host.read('/usr/lib/dracut/dracut.conf.d/80-vfio.conf')).toBe('force_drivers+=" vfio "\n');
  expect(host.read('/etc/dracut.conf.d/90-qmplug.conf')).toBeUndefined();
});

it.each(['never', 'imageOnly'])('leaves the initramfs alone with "%s"', async (initramfs) => {
  using host = new HostTree({ ...trees.debian, ...card });
  await applyHost(host.environment(), readDesiredState({ ...byRule, initramfs }));
  expect(host.read('/etc/initramfs-tools/modules')).toBe('# List of modules\n');
  expect(host.calls()).toEqual([]);
});
