import type { ScriptLine } from '../programs/run-script.mjs';

/** A script, and what a Linux kernel makes of each of its lines. */
export interface KernelScript {
  readonly name: string;
  readonly lines: readonly (readonly [line: ScriptLine, yields: string])[];
}

const DRIVERS = '/sys/bus/pci/drivers';
const PROBE = '/sys/bus/pci/drivers_probe';
const of = (device: string, file: string) => `/sys/bus/pci/devices/{${device}}/${file}`;
const write = (path: string, data: string, yields = 'ok') =>
  [{ write: path, data }, yields] as const;
const state = (device: string, yields: string) => [{ state: device }, yields] as const;
const vfs = (device: string, yields: string) => [{ vfs: device }, yields] as const;
const exists = (path: string, yields: 'yes' | 'no') => [{ exists: path }, yields] as const;
const read = (path: string, yields: string) => [{ read: path }, yields] as const;

const override = (device: string, name: string) => write(of(device, 'driver_override'), name);
const unbind = (device: string) => write(of(device, 'driver/unbind'), `{${device}}`);
const probe = (device: string) => write(PROBE, `{${device}}`);
const bind = (driver: string, device: string, yields = 'ok') =>
  write(`${DRIVERS}/${driver}/bind`, `{${device}}`, yields);
const MTTY = '/sys/class/mdev_bus/mtty/mdev_supported_types';
const UUID = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';
const TWELVE = Array.from({ length: 12 }, (_, index) => `${UUID.slice(0, -2)}${index + 20}`);

/**
 * Each leaves the host as it found it. `nic` is on e1000e and can be reset by `pm` alone, `testdev` has no driver
 * at all, `pair-port` is a bridge on pcieport, `sriov` an NVMe PF with up to four VFs of which `vf0` is the first,
 * `missing` no device. The mdev parent `mtty` is there, vfio-pci and pci-stub are loaded, uio_pci_generic is not.
 */
export const KERNEL_SCRIPTS: readonly KernelScript[] = [
  {
    name: 'a bind needs a match, and a function without a driver',
    lines: [
      bind('vfio-pci', 'testdev', 'ENODEV'),
      override('nic', 'vfio-pci'),
      bind('vfio-pci', 'nic', 'EBUSY'),
      state('nic', 'e1000e vfio-pci'),
      override('nic', '\n'),
      state('nic', 'e1000e (null)'),
    ],
  },
  {
    name: 'a device that is not there is ENODEV everywhere',
    lines: [
      bind('vfio-pci', 'missing', 'ENODEV'),
      write(`${DRIVERS}/e1000e/unbind`, '{missing}', 'ENODEV'),
      write(PROBE, '{missing}', 'ENODEV'),
      write(of('missing', 'driver_override'), 'x', 'ENOENT'),
    ],
  },
  {
    name: 'an address is written as the kernel writes it, with a newline or without',
    lines: [
      write(PROBE, '{nic}\n'),
      write(PROBE, '{nic} ', 'ENODEV'),
      write(PROBE, ' {nic}', 'ENODEV'),
      write(PROBE, '{nic}\n\n', 'ENODEV'),
      write(PROBE, '00:07.0', 'ENODEV'),
    ],
  },
  {
    name: 'a driver that is not loaded has no files',
    lines: [bind('uio_pci_generic', 'testdev', 'ENOENT')],
  },
  {
    name: 'only the driver that has a device can be told to let go of it',
    lines: [
      write(`${DRIVERS}/vfio-pci/unbind`, '{nic}', 'ENODEV'),
      state('nic', 'e1000e (null)'),
      unbind('nic'),
      state('nic', 'none (null)'),
      write(of('nic', 'driver/unbind'), '{nic}', 'ENOENT'),
      probe('nic'),
      state('nic', 'e1000e (null)'),
    ],
  },
  {
    name: 'a probe succeeds although no driver takes the device',
    lines: [
      override('nic', 'no-such-driver'),
      unbind('nic'),
      probe('nic'),
      state('nic', 'none no-such-driver'),
      override('nic', '\n'),
      probe('nic'),
      state('nic', 'e1000e (null)'),
    ],
  },
  {
    name: 'an override has a length',
    lines: [
      write(of('nic', 'driver_override'), 'x'.repeat(4096), 'EINVAL'),
      write(of('nic', 'driver_override'), 'x'.repeat(4095), 'EINVAL'),
      state('nic', 'e1000e (null)'),
      write(of('nic', 'driver_override'), 'x'.repeat(4094)),
      write(of('nic', 'driver_override'), 'one\ntwo'),
      state('nic', 'e1000e one'),
      override('nic', '\n'),
      state('nic', 'e1000e (null)'),
    ],
  },
  {
    name: 'a bridge is never for VFIO',
    lines: [
      override('pair-port', 'vfio-pci'),
      bind('vfio-pci', 'pair-port', 'EBUSY'),
      unbind('pair-port'),
      bind('vfio-pci', 'pair-port', 'EINVAL'),
      probe('pair-port'),
      state('pair-port', 'none vfio-pci'),
      override('pair-port', '\n'),
      probe('pair-port'),
      state('pair-port', 'pcieport (null)'),
    ],
  },
  {
    name: 'a group has a node while VFIO has one of its functions',
    lines: [
      exists('/dev/vfio/{nic.group}', 'no'),
      override('nic', 'vfio-pci'),
      unbind('nic'),
      bind('vfio-pci', 'nic'),
      state('nic', 'vfio-pci vfio-pci'),
      exists('/dev/vfio/{nic.group}', 'yes'),
      override('nic', '\n'),
      unbind('nic'),
      exists('/dev/vfio/{nic.group}', 'no'),
      bind('vfio-pci', 'nic', 'ENODEV'),
      bind('e1000e', 'nic'),
      state('nic', 'e1000e (null)'),
    ],
  },
  {
    name: 'an id is added once and removed once',
    lines: [
      write(`${DRIVERS}/pci-stub/new_id`, '1b36 0005'),
      state('testdev', 'pci-stub (null)'),
      write(`${DRIVERS}/pci-stub/new_id`, '1b36 0005', 'EEXIST'),
      write(`${DRIVERS}/pci-stub/remove_id`, '1b36 0005'),
      write(`${DRIVERS}/pci-stub/remove_id`, '1b36 0005', 'ENODEV'),
      write(`${DRIVERS}/pci-stub/new_id`, '1b36', 'EINVAL'),
      write(`${DRIVERS}/pci-stub/remove_id`, 'none', 'EINVAL'),
      write(`${DRIVERS}/e1000e/new_id`, '8086 10d3', 'EEXIST'),
      write(`${DRIVERS}/e1000e/remove_id`, '8086 10d3', 'ENODEV'),
      unbind('testdev'),
      state('testdev', 'none (null)'),
    ],
  },
  {
    name: 'a function that was removed comes back without its override, on its own driver',
    lines: [
      write(of('nic', 'remove'), 'yes', 'EINVAL'),
      write(of('nic', 'remove'), '0'),
      override('nic', 'vfio-pci'),
      state('nic', 'e1000e vfio-pci'),
      write(of('nic', 'remove'), '1'),
      exists(of('nic', 'vendor'), 'no'),
      bind('vfio-pci', 'nic', 'ENODEV'),
      write('/sys/bus/pci/rescan', 'yes', 'EINVAL'),
      write('/sys/bus/pci/rescan', '0'),
      exists(of('nic', 'vendor'), 'no'),
      write('/sys/bus/pci/rescan', '1'),
      state('nic', 'e1000e (null)'),
    ],
  },
  {
    name: 'a reset has methods, of which only those of the device can be chosen',
    lines: [
      read(of('nic', 'reset_method'), 'pm'),
      write(of('nic', 'reset_method'), 'flr', 'EINVAL'),
      write(of('nic', 'reset_method'), 'pm bus', 'EINVAL'),
      write(of('nic', 'reset_method'), 'none-such', 'EINVAL'),
      write(of('nic', 'reset_method'), 'pm'),
      write(of('nic', 'reset_method'), 'default'),
      read(of('nic', 'reset_method'), 'pm'),
      write(of('nic', 'reset'), '0', 'EINVAL'),
      write(of('nic', 'power/control'), 'sometimes', 'EINVAL'),
      write(of('nic', 'd3cold_allowed'), 'no', 'EINVAL'),
      write(of('nic', 'd3cold_allowed'), '2'),
      read(of('nic', 'd3cold_allowed'), '1'),
    ],
  },
  {
    name: 'the number of virtual functions changes by way of none',
    lines: [
      write(of('sriov', 'sriov_numvfs'), 'many', 'EINVAL'),
      write(of('sriov', 'sriov_numvfs'), '-1', 'EINVAL'),
      write(of('sriov', 'sriov_numvfs'), '65535', 'ERANGE'),
      write(of('sriov', 'sriov_numvfs'), '65536', 'EINVAL'),
      write(of('sriov', 'sriov_drivers_autoprobe'), 'maybe', 'EINVAL'),
      write(of('sriov', 'sriov_numvfs'), '5', 'ERANGE'),
      write(of('sriov', 'sriov_numvfs'), '0'),
      write(of('sriov', 'sriov_drivers_autoprobe'), 'off'),
      write(of('sriov', 'sriov_numvfs'), '0x2\n'),
      vfs('sriov', '2 0'),
      state('vf0', 'none (null)'),
      write(of('sriov', 'sriov_numvfs'), '2'),
      write(of('sriov', 'sriov_numvfs'), '3', 'EBUSY'),
      write(of('sriov', 'sriov_numvfs'), '0'),
      write(of('sriov', 'sriov_drivers_autoprobe'), '1'),
      vfs('sriov', '0 1'),
    ],
  },
  {
    name: 'a virtual function without autoprobe goes to a driver by its override alone',
    lines: [
      write(of('sriov', 'sriov_drivers_autoprobe'), '0'),
      write(of('sriov', 'sriov_numvfs'), '1'),
      bind('nvme', 'vf0', 'ENODEV'),
      override('vf0', 'vfio-pci'),
      bind('vfio-pci', 'vf0'),
      state('vf0', 'vfio-pci vfio-pci'),
      write(of('sriov', 'sriov_numvfs'), '0'),
      exists(of('vf0', 'vendor'), 'no'),
      write(of('sriov', 'sriov_drivers_autoprobe'), '1'),
    ],
  },
  {
    name: 'a physical function keeps its virtual functions when its driver goes, and VFIO does not take it',
    lines: [
      write(of('sriov', 'sriov_drivers_autoprobe'), '0'),
      write(of('sriov', 'sriov_numvfs'), '1'),
      override('sriov', 'vfio-pci'),
      unbind('sriov'),
      vfs('sriov', '1 0'),
      bind('vfio-pci', 'sriov', 'EBUSY'),
      probe('sriov'),
      state('sriov', 'none vfio-pci'),
      write(of('sriov', 'sriov_numvfs'), '1'),
      write(of('sriov', 'sriov_numvfs'), '0', 'ENOENT'),
      override('sriov', '\n'),
      bind('nvme', 'sriov'),
      write(of('sriov', 'sriov_numvfs'), '0'),
      write(of('sriov', 'sriov_drivers_autoprobe'), '1'),
      state('sriov', 'nvme (null)'),
      vfs('sriov', '0 1'),
    ],
  },
  {
    name: 'VFIO makes no virtual functions of a physical one that it has',
    lines: [
      override('sriov', 'vfio-pci'),
      unbind('sriov'),
      bind('vfio-pci', 'sriov'),
      write(of('sriov', 'sriov_numvfs'), '1', 'ENOENT'),
      write(of('sriov', 'sriov_numvfs'), '0'),
      override('sriov', '\n'),
      unbind('sriov'),
      bind('nvme', 'sriov'),
      state('sriov', 'nvme (null)'),
    ],
  },
  {
    name: 'a mediated device has a UUID that nothing else has, and a group with a node',
    lines: [
      write(`${MTTY}/mtty-2/create`, 'not-a-uuid', 'EINVAL'),
      write(`${MTTY}/mtty-2/create`, UUID),
      exists(`/sys/bus/mdev/devices/${UUID}/iommu_group`, 'yes'),
      write(`${MTTY}/mtty-1/create`, UUID, 'EEXIST'),
      read(`${MTTY}/mtty-1/available_instances`, '22'),
      read(`${MTTY}/mtty-2/available_instances`, '11'),
      write(`/sys/bus/mdev/devices/${UUID}/remove`, 'yes', 'EINVAL'),
      write(`/sys/bus/mdev/devices/${UUID}/remove`, '0'),
      write(`/sys/bus/mdev/devices/${UUID}/remove`, '1'),
      exists(`/sys/bus/mdev/devices/${UUID}`, 'no'),
      write(`/sys/bus/mdev/devices/${UUID}/remove`, '1', 'ENOENT'),
    ],
  },
  {
    name: 'a parent gives no more than it has',
    lines: [
      ...TWELVE.map((uuid) => write(`${MTTY}/mtty-2/create`, uuid)),
      read(`${MTTY}/mtty-1/available_instances`, '0'),
      write(`${MTTY}/mtty-1/create`, UUID, 'ENOSPC'),
      ...TWELVE.map((uuid) => write(`/sys/bus/mdev/devices/${uuid}/remove`, '1')),
      read(`${MTTY}/mtty-1/available_instances`, '24'),
    ],
  },
];

/** While a VM has `pair0`, whose group it shares with `pair1`, which has no driver. */
export const WHILE_HELD: KernelScript = {
  name: 'a group that a VM has is for drivers that leave DMA alone',
  lines: [
    state('pair0', 'vfio-pci vfio-pci'),
    write(PROBE, '{pair1}', 'EINVAL'),
    state('pair1', 'none (null)'),
    bind('e1000e', 'pair1', 'EBUSY'),
    override('pair1', 'pci-stub'),
    bind('pci-stub', 'pair1'),
    state('pair1', 'pci-stub pci-stub'),
    unbind('pair1'),
    override('pair1', 'vfio-pci'),
    probe('pair1'),
    state('pair1', 'vfio-pci vfio-pci'),
    unbind('pair1'),
    override('pair1', '\n'),
    state('pair1', 'none (null)'),
  ],
};

/** `iommu` is the function of an AMD IOMMU itself. */
export const OF_THE_IOMMU: KernelScript = {
  name: 'the function of an AMD IOMMU is in no group, and no driver may have it',
  lines: [
    exists(of('iommu', 'iommu_group'), 'no'),
    override('iommu', 'vfio-pci'),
    bind('vfio-pci', 'iommu', 'ENODEV'),
    probe('iommu'),
    state('iommu', 'none vfio-pci'),
    override('iommu', '\n'),
    state('iommu', 'none (null)'),
  ],
};
