// First scene: ports planned at boot, and an emulated device that comes and goes while Linux runs.
import { join } from 'node:path';
import { bootGuest } from '../lab/guest.mjs';

/** @typedef {import('./stage.mjs').Stage} Stage */
/** @typedef {import('../lab/guest.mjs').Guest} Guest */

const PORTS = ['boot-args', '--root-ports', '2', '--memory', '256M'];
const ID = 'practice0';
const DEVICE = '{"driver":"virtio-rng-pci"}';
/** virtio entropy source behind a root port: PCI vendor and device ids of virtio 1.x, section 4.1.2. */
const isRng = (/** @type {import('../lab/agent.mjs').PciFunction} */ { vendorId, deviceId }) =>
  vendorId === 0x1af4 && (deviceId === 0x1044 || deviceId === 0x1005);

/** @param {Stage} stage */
export async function showEmulated(stage) {
  stage.step('Plan two ports for a VM that is about to be started');
  await stage.qmplug(PORTS);
  const plan = await stage.ask(PORTS);

  stage.step('Boot Linux in QEMU with these ports');
  const guest = await bootGuest({ args: plan.args, modules: ['virtio_pci', 'virtio-rng'] });
  try {
    // Directories of its own, so that this needs no root.
    process.env.QMPLUG_STATE_DIR = join(guest.qemu.directory, 'state');
    process.env.QMPLUG_RUN_DIR = process.env.QMPLUG_STATE_DIR;
    await showGuest(stage, guest);
    stage.check(!guest.pciDevices().some(isRng), 'the guest has no entropy device');
    await showTopology(stage, guest, plan.ports);
    await showAttach(stage, guest);
    await showDetach(stage, guest);
  } finally {
    await guest.kill();
    delete process.env.QMPLUG_STATE_DIR;
    delete process.env.QMPLUG_RUN_DIR;
  }
}

/** @param {Stage} stage @param {Guest} guest @param {readonly { id: string }[]} planned */
async function showTopology(stage, guest, planned) {
  stage.step('What is in the VM');
  const topology = await stage.qmplug(['topology', guest.qmpPath]);
  const isThere = planned.every(({ id }) => topology.includes(` ${id} pcie-root-port:`));
  stage.check(isThere, 'QEMU has the planned ports');
}

/** @param {Stage} stage @param {Guest} guest */
async function showAttach(stage, guest) {
  stage.step('Give the running guest a device');
  const device = ['--device', DEVICE, '--id', ID, '--wait', 'placed'];
  await stage.qmplug(['attach', guest.qmpPath, ...device]);
  const seen = (await guest.waitForPci((devices) => devices.some(isRng))).find(isRng);
  const { status, output } = await guest.run(READ_RANDOM);
  await showGuest(stage, guest);
  const { attachments } = await stage.ask(['status', guest.qmpPath]);
  const { guestBdf } = attachments[0].functions[0];
  stage.check(seen?.bdf === guestBdf, `the guest sees it at ${guestBdf}, where qmplug says it is`);
  stage.check(status === 0, `the guest uses it: 8 random bytes are ${output.trim()}`);
}

/** @param {Stage} stage @param {Guest} guest */
async function showDetach(stage, guest) {
  stage.step('What is attached');
  await stage.qmplug(['status', guest.qmpPath]);

  stage.step('Take it back');
  await stage.qmplug(['detach', guest.qmpPath, ID]);
  await guest.waitForPci((devices) => !devices.some(isRng));
  await showGuest(stage, guest);
  stage.check(!guest.pciDevices().some(isRng), 'it is gone from the guest');
  stage.check(!(await idsInQemu(guest)).includes(ID), 'it is gone from QEMU');
  const { ports } = await stage.ask(['status', guest.qmpPath]);
  const isFree = (/** @type {{ state: string }} */ { state }) => state === 'free';
  stage.check(ports.every(isFree), 'both ports are free');
}

const LIST_PCI = `cd /sys/bus/pci/devices
for device in *; do
  driver=$(readlink $device/driver) || driver=-
  echo "  $device  $(cut -c 3- $device/vendor):$(cut -c 3- $device/device)  \${driver##*/}"
done`;

// The driver takes the device a moment after the kernel has listed it; 10 s are the deadline.
const READ_RANDOM = `n=0
until dd if=/dev/hwrng of=/run/random bs=8 count=1 2>/dev/null && [ -s /run/random ]; do
  n=$((n + 1)); [ $n -lt 100 ] || exit 1; sleep 0.1
done
hexdump -e '8/1 "%02x"' /run/random`;

/** What the guest's own kernel lists. @param {Stage} stage @param {Guest} guest */
async function showGuest(stage, guest) {
  const { output } = await guest.run(LIST_PCI);
  console.log('   in the guest, /sys/bus/pci/devices:');
  stage.show(output);
}

/** By a monitor of the lab's own, past qmplug. @param {Guest} guest */
async function idsInQemu(guest) {
  const list = await guest.qmp.execute('qom-list', { path: '/machine/peripheral' });
  return /** @type {{ name: string }[]} */ (list).map(({ name }) => name);
}
