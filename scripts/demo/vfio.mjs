// Second scene: real vfio-pci, real IOMMU groups. The host is itself a machine in QEMU with an IOMMU.
import { bootVfioHost } from '../lab/vfio-host.mjs';

/** @typedef {import('./stage.mjs').Stage} Stage */
/** @typedef {import('../lab/vfio-host.mjs').VfioHost} VfioHost */

/** @param {Stage} stage */
export async function showVfio(stage) {
  const { args } = await stage.ask(['boot-args', '--root-ports', '2']);
  stage.step('Boot a Linux host with an IOMMU and a network card, and start a QEMU in it');
  const host = await bootVfioHost({ devices: ['nic'] });
  try {
    await showHost(stage, host, args);
  } finally {
    await host.kill();
  }
}

/** @param {Stage} stage @param {VfioHost} host @param {readonly string[]} args */
async function showHost(stage, host, args) {
  const run = (/** @type {readonly string[]} */ argv) => host.run(argv);
  const nic = await host.bdf('nic');
  // Nobody has switched the slot's power on yet, so no guest has to be asked to give the device back.
  const vm = await host.startQemu({ paused: true, hotplug: 'native', args });
  await stage.qmplug(['devices', nic], run);
  stage.check((await driverOf(host, nic)) === 'e1000e', `${nic} is driven by the host's e1000e`);

  stage.step("Give that QEMU the host's network card");
  await stage.qmplug(['attach', vm.qmpPath, nic], run);
  stage.check((await driverOf(host, nic)) === 'vfio-pci', `${nic} is bound to vfio-pci`);
  await stage.qmplug(['status', vm.qmpPath], run);

  stage.step('Take it back');
  await stage.qmplug(['detach', vm.qmpPath, nic], run);
  stage.check((await driverOf(host, nic)) === 'e1000e', `${nic} is driven by e1000e again`);
  const override = await host.sh(`cat /sys/bus/pci/devices/${nic}/driver_override`);
  stage.check(override.trim() === '(null)', 'its driver_override is as it was: unset');
  const left = await host.sh('find /run/qmplug -type f');
  stage.check(left === '', 'no reservation, lock or journal is left');
}

/** @param {VfioHost} host @param {string} bdf */
async function driverOf(host, bdf) {
  const link = await host.sh(`readlink /sys/bus/pci/devices/${bdf}/driver`);
  return link.trim().split('/').at(-1);
}
