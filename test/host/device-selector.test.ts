import { describe, expect, it } from 'vitest';
import { parseSelector, selectDevice } from '../../src/host/device-selector.js';
import { readDevices } from '../../src/host/inventory.js';
import { HostTree } from './sysfs-tree.js';

async function devicesOf(...addresses: string[]) {
  using tree = new HostTree();
  for (const address of addresses) tree.addFunction(address);
  return await readDevices(tree.effects);
}

describe('selectDevice', () => {
  it.each([
    '0000:3b:00.1',
    '0000:3B:00.1',
    '3b:00.1',
    'pci_0000_3b_00_1',
    '/sys/bus/pci/devices/0000:3b:00.1',
    '/sys/bus/pci/devices/0000:3b:00.1/',
    '/sys/devices/pci0000:3a/0000:3a:00.0/0000:3b:00.1',
  ])('reads %s', async (text) => {
    const devices = await devicesOf('0000:3b:00.0', '0000:3b:00.1', '0000:3c:00.1');
    expect(selectDevice(text, devices).bdf).toBe('0000:3b:00.1');
  });

  it('takes the short form in any domain, and asks where there are several', async () => {
    const one = await devicesOf('10000:e1:00.0', '0000:3b:00.0');
    expect(selectDevice('e1:00.0', one).bdf).toBe('10000:e1:00.0');
    const two = await devicesOf('10000:e1:00.0', '0000:e1:00.0');
    expect(() => selectDevice('e1:00.0', two)).toThrow(
      expect.objectContaining({
        code: 'AMBIGUOUS',
        details: { selector: 'e1:00.0', matches: ['0000:e1:00.0', '10000:e1:00.0'] },
      }),
    );
  });

  it('never rewrites a domain', async () => {
    const devices = await devicesOf('10000:e1:00.0');
    expect(() => selectDevice('0000:e1:00.0', devices)).toThrow(
      expect.objectContaining({ code: 'NO_MATCH' }),
    );
    expect(selectDevice('pci_10000_e1_00_0', devices).bdf).toBe('10000:e1:00.0');
  });

  it('names what comes near: the slot, other domains, one digit off', async () => {
    const devices = await devicesOf('0000:3b:00.0', '0001:3b:00.1', '0000:3c:00.1', '0000:81:00.0');
    expect(() => selectDevice('0000:3b:00.1', devices)).toThrow(
      expect.objectContaining({
        code: 'NO_MATCH',
        details: {
          selector: '0000:3b:00.1',
          nearMisses: ['0000:3b:00.0', '0001:3b:00.1', '0000:3c:00.1'],
        },
      }),
    );
  });
});

it.each([
  '',
  '3b:00',
  'eth0',
  '0000:3b:20.0',
  '10de:2204',
  '/sys/bus/pci/devices/../../../etc/passwd',
  '/sys/bus/pci/devices/0000:3b:00.0/driver',
  '/etc/0000:3b:00.0',
  '0000:3b:00.0\n',
  '0000:3b:*.*',
])('refuses %j', (text) => {
  expect(() => parseSelector(text)).toThrow(expect.objectContaining({ code: 'SYNTAX' }));
});
