import { describe, expect, it } from 'vitest';
import { parseSelector } from '../../../src/host/selector/parse-selector.js';
import { selectDevice } from '../../../src/host/selector/select-device.js';
import { HostTree } from '../sysfs-tree.js';

async function select(text: string, ...addresses: string[]): Promise<string> {
  using tree = new HostTree();
  for (const address of addresses) tree.addFunction(address);
  return await selectDevice({ effects: tree.effects }, text);
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
    const bdf = await select(text, '0000:3b:00.0', '0000:3b:00.1', '0000:3c:00.1');
    expect(bdf).toBe('0000:3b:00.1');
  });

  it('takes the short form in any domain, and asks where there are several', async () => {
    expect(await select('e1:00.0', '10000:e1:00.0', '0000:3b:00.0')).toBe('10000:e1:00.0');
    await expect(select('e1:00.0', '10000:e1:00.0', '0000:e1:00.0')).rejects.toMatchObject({
      code: 'AMBIGUOUS',
      details: { selector: 'e1:00.0', matches: ['0000:e1:00.0', '10000:e1:00.0'] },
    });
  });

  it('never rewrites a domain', async () => {
    await expect(select('0000:e1:00.0', '10000:e1:00.0')).rejects.toMatchObject({
      code: 'NO_MATCH',
    });
    expect(await select('pci_10000_e1_00_0', '10000:e1:00.0')).toBe('10000:e1:00.0');
  });

  it('names what comes near: the slot, other domains, one digit off', async () => {
    const near = select(
      '0000:3b:00.1',
      '0000:3b:00.0',
      '0001:3b:00.1',
      '0000:3c:00.1',
      '0000:81:00.0',
    );
    await expect(near).rejects.toMatchObject({
      code: 'NO_MATCH',
      details: {
        selector: '0000:3b:00.1',
        nearMisses: ['0000:3b:00.0', '0001:3b:00.1', '0000:3c:00.1'],
      },
    });
  });
});

it.each([
  '',
  '3b:00',
  'eth0',
  '0000:3b:20.0',
  '/sys/bus/pci/devices/../../../etc/passwd',
  '/sys/class/net/eth*',
  'sys/class/net/eth0',
  '/',
])('refuses %j', (text) => {
  expect(() => parseSelector(text)).toThrow(expect.objectContaining({ code: 'SYNTAX' }));
});
