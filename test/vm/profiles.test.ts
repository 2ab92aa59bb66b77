import { describe, expect, it } from 'vitest';
import { pciAddr, PROFILES, profileOf } from '../../src/vm/index.js';

describe('profileOf', () => {
  it.each([
    ['pc-q35-7.2-machine', 'x86_64'],
    ['pc-q35-11.0-machine', 'x86_64'],
    ['pc-q35-rhel9.6.0-machine', 'x86_64'],
    ['pc-q35-noble-machine', 'i386'],
  ])('takes %s on %s for a q35', (type, arch) => {
    expect(profileOf({ type, arch }).name).toBe('q35');
  });

  it.each([
    ['pc-i440fx-7.2-machine', 'x86_64', /not known/],
    ['virt-10.0-machine', 'aarch64', /not known/],
    ['pc-q35-7.2-machine', 's390x', /not known/],
    ['microvm-machine', 'x86_64', /no PCI bus/],
    ['isapc-machine', 'x86_64', /no PCI bus/],
    ['none-machine', 'x86_64', /no place/],
    ['pc-q35-\u001b[2J-machine', 'x86_64', /\\x1b/],
  ])('refuses %j on %s with its reason', (type, arch, reason) => {
    const refused = () => profileOf({ type, arch });
    expect(refused).toThrow(reason);
    expect(refused).toThrow(expect.objectContaining({ code: 'UNSUPPORTED_MACHINE' }));
  });

  it('has one profile for each machine', () => {
    expect(new Set(PROFILES.map(({ name }) => name)).size).toBe(PROFILES.length);
  });
});

describe('q35', () => {
  const q35 = profileOf({ type: 'pc-q35-7.2-machine', arch: 'x86_64' });

  it('has a port for each root port and downstream port with an id', () => {
    const device = (id: string | undefined, type: string) => ({
      id,
      type,
      path: `/machine/peripheral/${id ?? 'device[0]'}`,
    });
    const ports = q35.portBuses([
      device('a', 'pcie-root-port'),
      device('b', 'ioh3420'),
      device('c', 'x3130-upstream'),
      device('d', 'xio3130-downstream'),
      device('e', 'pci-bridge'),
      device('f', 'vfio-pci'),
      device(undefined, 'pcie-root-port'),
    ]);
    expect(
      ports.map(({ device: { id }, kind, path, name, slots }) => [id, kind, path, name, slots]),
    ).toEqual([
      ['a', 'root-port', '/machine/peripheral/a/a', 'a', [0]],
      ['b', 'root-port', '/machine/peripheral/b/b', 'b', [0]],
      ['d', 'downstream-port', '/machine/peripheral/d/d', 'd', [0]],
    ]);
  });

  it('places a function by bus and text address', () => {
    expect(q35.placement({ busName: 'rp0', slot: 0, function: 0 })).toEqual({
      bus: 'rp0',
      addr: '0x0',
    });
    expect(pciAddr(0x1f, 7)).toBe('0x1f.7');
  });

  it('knows that only ACPI removes on reset', () => {
    expect(q35.unplug.acpi?.resetCompletes).toBe(true);
    expect(q35.unplug.native?.resetCompletes).toBe(false);
  });
});
