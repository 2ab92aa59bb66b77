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

const override = (device: string, name: string) => write(of(device, 'driver_override'), name);
const unbind = (device: string) => write(of(device, 'driver/unbind'), `{${device}}`);
const probe = (device: string) => write(PROBE, `{${device}}`);
const bind = (driver: string, device: string, yields = 'ok') =>
  write(`${DRIVERS}/${driver}/bind`, `{${device}}`, yields);
const MTTY = '/sys/class/mdev_bus/mtty/mdev_supported_types';
const UUID = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';

/**
 * Each leaves the host as it found it. `nic` is on e1000e, `testdev` has no driver at all, `pair-port` is a bridge on
 * pcieport, `sriov` an NVMe PF with up to four VFs of which `vf0` is the first, `missing` no device. The mdev parent
 * `mtty` is there, and vfio-pci loaded.
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
      state('nic', 'e1000e (null)'),
    ],
  },
  {
    name: 'a bridge is never for VFIO',
    lines: [
      override('pair-port', 'vfio-pci'),
      bind('vfio-pci', 'pair-port', 'EBUSY'),
      override('pair-port', '\n'),
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
      unbind('testdev'),
      state('testdev', 'none (null)'),
    ],
  },
  {
    name: 'the number of virtual functions changes by way of none',
    lines: [
      write(of('sriov', 'sriov_numvfs'), 'many', 'EINVAL'),
      write(of('sriov', 'sriov_numvfs'), '5', 'ERANGE'),
      write(of('sriov', 'sriov_numvfs'), '0'),
      write(of('sriov', 'sriov_drivers_autoprobe'), '0'),
      write(of('sriov', 'sriov_numvfs'), '2'),
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
    name: 'a mediated device has a UUID that nothing else has, and a group with a node',
    lines: [
      write(`${MTTY}/mtty-2/create`, 'not-a-uuid', 'EINVAL'),
      write(`${MTTY}/mtty-2/create`, UUID),
      exists(`/sys/bus/mdev/devices/${UUID}/iommu_group`, 'yes'),
      write(`${MTTY}/mtty-1/create`, UUID, 'EEXIST'),
      write(`/sys/bus/mdev/devices/${UUID}/remove`, '1'),
      exists(`/sys/bus/mdev/devices/${UUID}`, 'no'),
      write(`/sys/bus/mdev/devices/${UUID}/remove`, '1', 'ENOENT'),
    ],
  },
];
