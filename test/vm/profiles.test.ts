import { describe, expect, it } from 'vitest';
import { portIdOf, PROFILES, profileOf, profileOfArgument } from '../../src/vm/index.js';

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
    ['pc-i440fx-7.2-machine', 'x86_64', 'pc'],
    ['virt-10.0-machine', 'aarch64', 'virt (aarch64)'],
    ['virt-machine', 'riscv64', 'virt (riscv64)'],
    ['pseries-7.2-machine', 'ppc64', 'pseries'],
    ['s390-ccw-virtio-7.2-machine', 's390x', 's390-ccw-virtio'],
  ])('takes %s on %s for %s', (type, arch, name) => {
    expect(profileOf({ type, arch }).name).toBe(name);
  });

  it.each([
    ['pc-i440fx-7.2-machine', 'aarch64', /not known/],
    ['virt-10.0-machine', 'loongarch64', /not known/],
    ['virt-10.0-machine', 'x86_64', /not known/],
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

  it.each([
    ['q35', 'q35'],
    ['pc-q35-7.2', 'q35'],
    ['pc', 'pc'],
    ['pc-i440fx-7.2', 'pc'],
    ['virt', 'virt (aarch64)'],
    ['virt-7.2', 'virt (aarch64)'],
    ['pseries', 'pseries'],
    ['s390-ccw-virtio', 's390-ccw-virtio'],
  ])('finds what -machine %s will be', (argument, name) => {
    expect(profileOfArgument(argument).name).toBe(name);
  });

  it.each(['microvm', 'isapc', 'none', 'q35-7.2', 'q35,accel=tcg', 'virt-', ''])(
    'refuses -machine %j',
    (argument) => {
      expect(() => profileOfArgument(argument)).toThrow(
        expect.objectContaining({ code: 'UNSUPPORTED_MACHINE' }),
      );
    },
  );

  it('has one profile for each machine', () => {
    expect(new Set(PROFILES.map(({ name }) => name)).size).toBe(PROFILES.length);
  });
});

/** 1 to 31. */
const SLOTS = Array.from({ length: 31 }, (_, index) => index + 1);

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
      ['e', 'pci-bridge-slot', '/machine/peripheral/e/e', 'e', SLOTS],
    ]);
  });

  it('knows that only ACPI removes on reset', () => {
    expect(q35.unplug.acpi?.resetCompletes).toBe(true);
    expect(q35.unplug.native?.resetCompletes).toBe(false);
  });
});

describe('the other machines', () => {
  const portsOf = (type: string, arch: string) =>
    profileOf({ type, arch })
      .portBuses([])
      .flatMap((bus) => bus.slots.map((slot) => portIdOf(bus, slot)));

  it('plugs into the root bus of a pc, but for the two devices of the chipset', () => {
    const ports = portsOf('pc-i440fx-7.2-machine', 'x86_64');
    expect([ports[0], ports.at(-1), ports.length]).toEqual(['pci.0.2', 'pci.0.31', 30]);
  });

  it('has four subchannel sets, 32 PCI slots and one place for crypto queues on s390x', () => {
    const ports = portsOf('s390-ccw-virtio-7.2-machine', 's390x');
    expect(ports.slice(0, 4)).toEqual(['ccw0', 'ccw1', 'ccw2', 'ccw3']);
    expect(ports.slice(4, -1)).toHaveLength(32);
    expect(ports.at(-1)).toBe('ap');
  });

  it('finds the host bridges of a pseries wherever QEMU put them', () => {
    const buses = profileOf({ type: 'pseries-7.2-machine', arch: 'ppc64' }).portBuses([
      { id: undefined, path: '/machine/unattached/device[4]', type: 'spapr-pci-host-bridge' },
      { id: 'phb1', path: '/machine/peripheral/phb1', type: 'spapr-pci-host-bridge' },
    ]);
    expect(buses.map(({ path }) => path)).toEqual([
      '/machine/unattached/device[4]/pci.0',
      '/machine/peripheral/phb1/phb1.0',
    ]);
  });

  it('says which machine nobody has seen working', () => {
    const unproven = PROFILES.filter((profile) => profile.unproven !== undefined);
    expect(unproven.map(({ name }) => name)).toEqual(['virt (riscv64)', 'pseries']);
  });
});
