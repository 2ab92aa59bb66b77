// Devices of the nested VFIO host, at fixed places: stand-ins for what people pass through.
import { join } from 'node:path';

/**
 * @typedef {object} HostDevices
 * @property {(directory: string) => readonly string[]} args for QEMU, given the machine's directory
 * @property {readonly string[]} modules that the host's kernel needs to drive them
 */

const E1000E = 'e1000e,romfile=';

/**
 * Each entry is one device or one group of devices that stand together. Their qdev ids, by which
 * `VfioHost.bdf` finds them:
 *
 *   rng      00:05.0           virtio-rng-pci, driver virtio-pci                  group of its own
 *   testdev  00:06.0           pci-testdev, no driver                             group of its own
 *   nic      00:07.0           e1000e, driver e1000e                              group of its own
 *   nvme     00:08.0           nvme with a disk of 64 MiB, driver nvme, has FLR   group of its own
 *   pair     behind 00:09.0    pair0 (.0) and pair1 (.1), both e1000e             one group
 *   bridge   behind 00:0a.0    bridge (PCIe-to-PCI) with bridge0 (e1000, driver
 *                              e1000) and bridge1 (pci-testdev) below it          one group
 *
 * @satisfies {Readonly<Record<string, HostDevices>>}
 */
export const HOST_DEVICES = {
  rng: {
    args: () => [
      '-device',
      'virtio-rng-pci,id=rng,bus=pcie.0,addr=5.0,disable-legacy=on,iommu_platform=on',
    ],
    modules: ['virtio_pci', 'virtio-rng'],
  },
  testdev: {
    args: () => ['-device', 'pci-testdev,id=testdev,bus=pcie.0,addr=6.0'],
    modules: [],
  },
  nic: {
    args: () => ['-device', `${E1000E},id=nic,bus=pcie.0,addr=7.0`],
    modules: ['e1000e'],
  },
  nvme: {
    args: (directory) => [
      ...['-blockdev', `driver=file,node-name=disk,filename=${join(directory, 'nvme.img')}`],
      ...['-device', 'nvme,id=nvme,bus=pcie.0,addr=8.0,serial=lab,drive=disk'],
    ],
    modules: ['nvme'],
  },
  pair: {
    args: () => [
      ...['-device', 'pcie-root-port,id=pair-port,bus=pcie.0,addr=9.0,chassis=9,slot=9'],
      ...['-device', `${E1000E},id=pair0,bus=pair-port,addr=0.0,multifunction=on`],
      ...['-device', `${E1000E},id=pair1,bus=pair-port,addr=0.1`],
    ],
    modules: ['e1000e'],
  },
  bridge: {
    args: () => [
      ...['-device', 'pcie-root-port,id=bridge-port,bus=pcie.0,addr=a.0,chassis=10,slot=10'],
      ...['-device', 'pcie-pci-bridge,id=bridge,bus=bridge-port'],
      ...['-device', 'e1000,romfile=,id=bridge0,bus=bridge,addr=1.0'],
      ...['-device', 'pci-testdev,id=bridge1,bus=bridge,addr=2.0'],
    ],
    modules: ['e1000'],
  },
};

/**
 * An NVMe controller with SR-IOV and no disk, `sriov`, behind a root port of its own: for `args`. Up to four VFs.
 * QEMU 7.2 wants two queues and one interrupt vector for each of them (docs/system/devices/nvme.rst).
 */
export const SRIOV_NVME_ARGS = [
  ...['-device', 'pcie-root-port,id=sriov-port,bus=pcie.0,addr=b.0,chassis=11,slot=11'],
  ...['-device', 'nvme-subsys,id=sriov-subsystem'],
  '-device',
  'nvme,id=sriov,bus=sriov-port,serial=sriov,subsys=sriov-subsystem,sriov_max_vfs=4,' +
    'sriov_vq_flexible=8,sriov_vi_flexible=4,max_ioqpairs=26,msix_qsize=27',
];

/** @typedef {keyof typeof HOST_DEVICES} HostDeviceName */

/** Bytes of the disk behind `nvme`; the file is sparse. */
export const NVME_BYTES = 64 * 1024 * 1024;
