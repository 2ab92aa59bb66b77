import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../src/json.js';
import { checkCommand, checkDeviceAdd } from '../../src/qmp/allow-list.js';

const vfio = {
  driver: 'vfio-pci',
  id: 'vfio_device_17_0',
  bus: 'rp0',
  addr: '0x0',
  host: '0000:41:00.0',
} as const;
const uuid = '6a2f41a3-c54c-fce8-32d2-0324e1c32e22';
const mdev = { driver: 'vfio-pci', id: 'm0', bus: 'rp0', addr: '0x0' };
const without = (args: JsonObject, name: string): JsonObject =>
  Object.fromEntries(Object.entries(args).filter(([key]) => key !== name));
const nothing = undefined as unknown as JsonObject;

function codeOf(check: () => void): unknown {
  try {
    check();
    return undefined;
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
}

describe('checkDeviceAdd', () => {
  it.each<[string, JsonObject]>([
    ['a PCI device', vfio],
    ['all its harmless properties', { ...vfio, rombar: 0, romfile: '', multifunction: true }],
    ['function 7 of slot 31', { ...vfio, addr: '0x1f.7' }],
    ['iommufd', { ...vfio, iommufd: 'iommufd0' }],
    ['a passed descriptor', { ...without(vfio, 'host'), fd: 'dev0', iommufd: 'iommufd0' }],
    ['an mdev', { ...mdev, sysfsdev: `/sys/bus/mdev/devices/${uuid}` }],
    ['a device behind VMD', { ...mdev, sysfsdev: '/sys/bus/pci/devices/10000:e1:00.0' }],
    [
      'a canonical path',
      { ...mdev, sysfsdev: '/sys/devices/pci0000:00/0000:00:01.0/0000:41:00.0' },
    ],
    ['the bus by path', { ...vfio, bus: '/machine/peripheral/rp0/rp0' }],
    ['members that are undefined', { ...vfio, iommufd: undefined }],
    ['AP', { driver: 'vfio-ap', id: 'a', sysfsdev: `/sys/devices/vfio_ap/matrix/${uuid}` }],
    [
      'CCW',
      {
        driver: 'vfio-ccw',
        id: 'c',
        sysfsdev: `/sys/bus/mdev/devices/${uuid}`,
        devno: 'fe.0.1234',
      },
    ],
    ['zpci', { driver: 'zpci', id: 'z', uid: 7, fid: 0xffff_ffff, target: 'vfio_device_1_0' }],
    [
      'vfio-user',
      { ...mdev, driver: 'vfio-user-pci', socket: { type: 'unix', path: '/run/dev.sock' } },
    ],
    ['a large BAR', { ...mdev, driver: 'pci-testdev', membar: 2n ** 40n }],
    ['virtio', { ...mdev, driver: 'virtio-rng-pci', 'disable-legacy': 'on' }],
    ['virtio over CCW', { driver: 'virtio-rng-ccw', id: 'r', devno: 'fe.1.0001' }],
    ['a port', { ...mdev, driver: 'pcie-root-port', chassis: 1, 'pref64-reserve': 2n ** 37n }],
  ])('lets pass: %s', (_, args) => {
    expect(
      codeOf(() => {
        checkDeviceAdd(args);
      }),
    ).toBeUndefined();
  });

  it.each<[string, string, JsonObject]>([
    // Drivers and properties
    ['PROPERTY_NOT_ALLOWED', 'no driver', without(vfio, 'driver')],
    ['PROPERTY_NOT_ALLOWED', 'an unknown driver', { ...vfio, driver: 'ivshmem-plain' }],
    ['PROPERTY_NOT_ALLOWED', 'a driver that is no text', { ...vfio, driver: ['vfio-pci'] }],
    ['PROPERTY_NOT_ALLOWED', 'a driver of Object', { ...vfio, driver: 'constructor' }],
    ['PROPERTY_NOT_ALLOWED', 'an unknown property', { ...vfio, 'x-req': false }],
    ['PROPERTY_NOT_ALLOWED', 'a property of Object', { ...vfio, constructor: 'x' }],
    [
      'PROPERTY_NOT_ALLOWED',
      '__proto__',
      { ...vfio, ...(JSON.parse('{"__proto__":{"romfile":"/etc/shadow"}}') as JsonObject) },
    ],
    ['PROPERTY_NOT_ALLOWED', 'a property of another driver', { ...vfio, chassis: 1 }],
    ['BAD_ARGUMENT', 'a ROM file', { ...vfio, romfile: '/etc/shadow' }],
    ['BAD_ARGUMENT', 'a null', { ...vfio, multifunction: null }],
    // Ids
    ['BAD_ID', 'no id', without(vfio, 'id')],
    ['BAD_ID', 'an empty id', { ...vfio, id: '' }],
    ['BAD_ID', 'a slash, on which QEMU aborts', { ...vfio, id: 'a/b' }],
    ['BAD_ID', 'a digit first', { ...vfio, id: '1x' }],
    ['BAD_ID', 'an underscore first', { ...vfio, id: '_x' }],
    ['BAD_ID', 'a blank', { ...vfio, id: 'a b' }],
    ['BAD_ID', 'a letter that is not ASCII', { ...vfio, id: 'gerät' }],
    ['BAD_ID', 'an escape character', { ...vfio, id: 'a\u001b' }],
    ['BAD_ID', 'a comma', { ...vfio, id: 'a,romfile=/etc/shadow' }],
    ['BAD_ID', 'a line end', { ...vfio, id: 'a\n' }],
    ['BAD_ID', 'a long id', { ...vfio, id: 'a'.repeat(129) }],
    ['BAD_ID', 'a number', { ...vfio, id: 17 }],
    // Places
    ['BAD_ARGUMENT', 'no bus', without(vfio, 'bus')],
    ['BAD_ARGUMENT', 'no addr', without(vfio, 'addr')],
    ['BAD_ARGUMENT', 'a number for addr', { ...vfio, addr: 2 }],
    ['BAD_ARGUMENT', 'addr without 0x', { ...vfio, addr: '2' }],
    ['BAD_ARGUMENT', 'slot 0x20', { ...vfio, addr: '0x20' }],
    ['BAD_ARGUMENT', 'function 8', { ...vfio, addr: '0x0.8' }],
    ['BAD_ARGUMENT', 'a climbing bus', { ...vfio, bus: '/machine/../x' }],
    ...['fe.4.0001', 'fe.0.2', 'fe.0.10000', 'fe.0.000g', ''].map(
      (devno): [string, string, JsonObject] => [
        'BAD_ARGUMENT',
        `devno ${devno}`,
        { driver: 'virtio-rng-ccw', id: 'r', devno },
      ],
    ),
    ['BAD_ARGUMENT', 'a uid of 17 bits', { driver: 'zpci', id: 'z', uid: 65_536, target: 'h0' }],
    ['BAD_ARGUMENT', 'a fid of 33 bits', { driver: 'zpci', id: 'z', fid: 2 ** 32, target: 'h0' }],
    ['BAD_ARGUMENT', 'a chassis of 9 bits', { ...mdev, driver: 'pcie-root-port', chassis: 256 }],
    ['BAD_ARGUMENT', 'devno of css 0', { driver: 'virtio-rng-ccw', id: 'r', devno: '0.0.0005' }],
    // Types that QEMU takes differently by version
    ['BAD_ARGUMENT', 'text for a boolean', { ...vfio, multifunction: 'on' }],
    ['BAD_ARGUMENT', 'text for an integer', { ...vfio, rombar: '0' }],
    ['BAD_ARGUMENT', 'text for a vendor', { ...vfio, 'x-pci-vendor-id': '0x10de' }],
    ['BAD_ARGUMENT', 'text for a size', { ...mdev, driver: 'pci-testdev', membar: '4G' }],
    ['BAD_ARGUMENT', 'a negative size', { ...mdev, driver: 'pci-testdev', membar: -1 }],
    ['BAD_ARGUMENT', 'a size of 2^64', { ...mdev, driver: 'pci-testdev', membar: 2n ** 64n }],
    ['BAD_ARGUMENT', 'a rounded size', { ...mdev, driver: 'pci-testdev', membar: 2 ** 60 }],
    ['BAD_ARGUMENT', 'a BAR of 3 MiB', { ...mdev, driver: 'pci-testdev', membar: 3 << 20 }],
    ['BAD_ARGUMENT', 'a BAR of one byte', { ...mdev, driver: 'pci-testdev', membar: 1 }],
    ['BAD_ARGUMENT', 'a fraction', { ...mdev, driver: 'pci-testdev', membar: 0.5 }],
    // Host devices
    ['BAD_ARGUMENT', 'no host device', without(vfio, 'host')],
    ['BAD_ARGUMENT', 'two', { ...vfio, sysfsdev: `/sys/bus/mdev/devices/${uuid}` }],
    ['BAD_ARGUMENT', 'a descriptor without iommufd', { ...without(vfio, 'host'), fd: 'dev0' }],
    ['BAD_ARGUMENT', 'host without a domain', { ...vfio, host: '41:00.0' }],
    ['BAD_ARGUMENT', 'host beyond 0xffff', { ...vfio, host: '10000:41:00.0' }],
    ...[
      '/dev/sda',
      '/sys/bus/pci/devices/',
      '/sys/bus/pci/devices/0000:41:00.0/..',
      '/sys/bus/pci/devices/../../../etc/passwd',
      '/sys/bus/mdev/devices/../x',
      '/sys/devices/../etc',
      '/sys/devices/pci0000:00/../../../etc',
      '/sys/devices/a/./b',
      '/sys/devices//a',
      '/sys/devices/',
      '/sys/devices/a b',
      '/sys/devices/a\n',
      '/sys/kernel/x',
      ' /sys/devices/a',
    ].map((sysfsdev): [string, string, JsonObject] => [
      'BAD_ARGUMENT',
      `sysfsdev ${JSON.stringify(sysfsdev)}`,
      { ...mdev, sysfsdev },
    ]),
    ...[
      'x',
      { type: 'tcp', path: '/a' },
      { type: 'unix', path: 'relative' },
      { type: 'unix', path: '/a/../b' },
      { type: 'unix', path: '/a', abstract: true },
    ].map((socket): [string, string, JsonObject] => [
      'BAD_ARGUMENT',
      `socket ${JSON.stringify(socket)}`,
      { ...mdev, driver: 'vfio-user-pci', socket },
    ]),
  ])('refuses with %s: %s', (code, _, args) => {
    expect(
      codeOf(() => {
        checkDeviceAdd(args);
      }),
    ).toBe(code);
  });
});

describe('checkCommand', () => {
  it.each<[string, JsonObject]>([
    ['query-pci', nothing],
    ['query-pci', {}],
    ['device_del', { id: 'vfio_device_17_0' }],
    ['device_del', { id: '/machine/peripheral/1x' }],
    ['object-add', { 'qom-type': 'iommufd', id: 'iommufd0' }],
    ['object-add', { 'qom-type': 'iommufd', id: 'iommufd0', fd: 'iommu0' }],
    ['qom-get', { path: '/machine', property: 'type' }],
    ['qom-list-get', { paths: ['/machine', '/objects'] }],
    ['query-command-line-options', {}],
    ['query-command-line-options', { option: 'device' }],
  ])('lets %s %j pass', (command, args) => {
    expect(
      codeOf(() => {
        checkCommand(command, args);
      }),
    ).toBeUndefined();
  });

  it.each([
    'migrate',
    'human-monitor-command',
    'blockdev-add',
    'chardev-add',
    'qom-set',
    'dump-guest-memory',
    'pmemsave',
    'screendump',
    'quit',
    'system_powerdown',
    'qmp_capabilities',
    'netdev_add',
    'toString',
    '__proto__',
    'constructor',
    '',
    'query-pci\n',
    'QUERY-PCI',
  ])('refuses the command %j', (command) => {
    expect(
      codeOf(() => {
        checkCommand(command, {});
      }),
    ).toBe('COMMAND_NOT_ALLOWED');
  });

  it.each<[string, string, JsonObject]>([
    ['PROPERTY_NOT_ALLOWED', 'query-pci', { bus: 0 }],
    ['PROPERTY_NOT_ALLOWED', 'device_del', { id: 'a', force: true }],
    ['BAD_ID', 'device_del', nothing],
    ['BAD_ID', 'object-del', { id: '' }],
    ['BAD_ID', 'object-add', { 'qom-type': 'iommufd', id: 'a/b' }],
    ['BAD_ID', 'object-add', { 'qom-type': 'iommufd', id: '1x' }],
    ['BAD_ID', 'device_del', { id: '/machine/unattached/device[0]' }],
    ['BAD_ID', 'device_del', { id: '/machine/peripheral/a/b' }],
    ['BAD_ARGUMENT', 'object-add', { 'qom-type': 'memory-backend-file', id: 'm' }],
    ['PROPERTY_NOT_ALLOWED', 'object-add', { 'qom-type': 'iommufd', id: 'm', 'mem-path': '/x' }],
    ['BAD_ARGUMENT', 'qom-get', { path: 'rp0', property: 'addr' }],
    ['BAD_ARGUMENT', 'qom-get', { path: '/machine' }],
    ['BAD_ARGUMENT', 'qom-list', { path: '/machine\n' }],
    ['BAD_ARGUMENT', 'qom-list-get', { paths: ['/machine', 'rp0'] }],
    ['BAD_ARGUMENT', 'getfd', { fdname: '1x' }],
  ])('refuses with %s: %s %j', (code, command, args) => {
    expect(
      codeOf(() => {
        checkCommand(command, args);
      }),
    ).toBe(code);
  });
});
