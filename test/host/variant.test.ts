import { describe, expect, it } from 'vitest';
import type { HostEffects } from '../../src/host/effects.js';
import { chooseVfioModule, ensureDriver, pickVfioModule } from '../../src/host/variant.js';
import { HostTree } from './sysfs-tree.js';

const ALIASES = [
  '# Aliases extracted from modules themselves.',
  'alias pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_core',
  'alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci',
  'alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_vfio_pci',
  'alias vfio_pci:v00001AF4d00001041sv*sd*bc*sc*i* virtio_vfio_pci',
  'alias vfio_pci:v00001AF4d00001041sv00001AF4sd*bc*sc*i* special_vfio_pci',
  '',
].join('\n');

const alias = (vendor: string, device: string, subsystem = '00000000') =>
  `pci:v0000${vendor}d0000${device}sv${subsystem}sd00000000bc02sc00i00`;

describe('pickVfioModule', () => {
  it.each([
    ['a variant driver', alias('15B3', '101E'), 'mlx5_vfio_pci'],
    ['the plain driver for anything else', alias('8086', '10D3'), 'vfio_pci'],
    ['the line with the fewest wildcards', alias('1AF4', '1041', '00001AF4'), 'special_vfio_pci'],
    ['a wider line where the narrow one differs', alias('1AF4', '1041'), 'virtio_vfio_pci'],
    ['the plain driver without a modalias', undefined, 'vfio_pci'],
  ])('chooses %s', (_, modalias, module) => {
    expect(pickVfioModule(ALIASES, modalias)).toBe(module);
  });

  it('never takes an alias of the native driver, nor a pattern for a regular expression', () => {
    expect(pickVfioModule('alias pci:v* evil\n', alias('8086', '10D3'))).toBe('vfio_pci');
    expect(pickVfioModule('alias vfio_pci:.+ evil\n', alias('8086', '10D3'))).toBe('vfio_pci');
  });
});

it('reads the aliases of the running kernel', async () => {
  using tree = new HostTree();
  expect(await chooseVfioModule(tree.effects, alias('15B3', '101E'))).toBe('vfio_pci');
  tree.file('/lib/modules/6.12.95/modules.alias', ALIASES);
  expect(await chooseVfioModule(tree.effects, alias('15B3', '101E'))).toBe('mlx5_vfio_pci');
});

describe('ensureDriver', () => {
  it('gives the directory name of a driver that is there, in whatever spelling', async () => {
    using tree = new HostTree();
    tree.directory('/sys/bus/pci/drivers/vfio-pci');
    expect(await ensureDriver(tree.effects, 'vfio-pci')).toBe('vfio-pci');
    expect(await ensureDriver(tree.effects, 'vfio_pci')).toBe('vfio-pci');
  });

  it('asks the module where the driver is called quite differently', async () => {
    using tree = new HostTree();
    const effects: HostEffects = Object.create(tree.effects) as HostEffects;
    effects.loadModule = async (name) => {
      expect(name).toBe('xhci_pci');
      tree.directory('/sys/bus/pci/drivers/xhci_hcd');
      tree.linkTo('/sys/module/xhci_pci/drivers/pci:xhci_hcd', '/sys/bus/pci/drivers/xhci_hcd');
    };
    expect(await ensureDriver(effects, 'xhci_hcd', 'xhci_pci')).toBe('xhci_hcd');
  });

  it('says what to load when it cannot', async () => {
    using tree = new HostTree();
    await expect(ensureDriver(tree.effects, 'vfio-pci')).rejects.toMatchObject({
      code: 'DRIVER_MISSING',
      remedy: 'modprobe vfio_pci',
    });
  });
});
