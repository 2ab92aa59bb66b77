// A whole attach of an emulated device in a warm session, looked at and journalled, beside the bare `device_add`;
// and how soon `detach` tells that the device is gone.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createEnvironment, openVm } from '../dist/index.js';
import { startQemu } from '../scripts/lab/qemu.mjs';
import { median, timed } from './measure.mjs';

const ROUNDS = 200;
const PORTS = 8;
const ATTACH_BUDGET = 1.3;
const UNPLUG_BUDGET_MS = 1;
const DEVICE = { driver: 'virtio-rng-pci' };

/** @returns {Promise<import('./measure.mjs').Figure[]>} */
export async function measureAttach() {
  const directory = mkdtempSync(join(tmpdir(), 'qmplug-bench-'));
  const environment = createEnvironment({ stateDir: directory, runDir: join(directory, 'run') });
  // Nobody runs in this VM, so that pciehp's ports let go at once.
  const qemu = await startQemu({ paused: true, hotplug: 'native', args: ports() });
  const vm = await openVm(qemu.qmpPath, { environment });
  try {
    /** @type {number[]} */
    const bare = [];
    /** @type {number[]} */
    const whole = [];
    /** @type {number[]} */
    const toldAfter = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const id = `bare${round}`;
      const arguments_ = { ...DEVICE, id, bus: 'rp0', addr: '0x0' };
      bare.push(await timed(() => qemu.qmp.execute('device_add', arguments_)));
      await qemu.qmp.execute('device_del', { id });
      await qemu.qmp.waitForDeleted(id);
      const name = `d${round}`;
      whole.push(await timed(() => vm.attach({ id: name, emulate: DEVICE })));
      const gone = qemu.qmp.waitForDeleted(name).then(() => performance.now());
      await vm.detach(name);
      toldAfter.push(performance.now() - (await gone));
    }
    const ratio = median(whole) / median(bare);
    return [
      {
        name: 'a whole attach over device_add, p50',
        ours: `${ratio.toFixed(2)} x (${median(whole).toFixed(2)} ms)`,
        floor: `device_add ${median(bare).toFixed(2)} ms`,
        budget: `${ATTACH_BUDGET} x`,
        holds: ratio <= ATTACH_BUDGET,
      },
      {
        name: 'detach tells it after DEVICE_DELETED, p50',
        ours: `${median(toldAfter).toFixed(2)} ms`,
        floor: 'the event, seen on another monitor',
        budget: `${UNPLUG_BUDGET_MS} ms`,
        holds: median(toldAfter) <= UNPLUG_BUDGET_MS,
      },
    ];
  } finally {
    await vm.close();
    await qemu.kill();
    rmSync(directory, { recursive: true, force: true });
  }
}

function ports() {
  return Array.from({ length: PORTS }, (_, index) => [
    '-device',
    `pcie-root-port,id=rp${index},bus=pcie.0,chassis=${index + 1},slot=${index + 1},addr=2.${index},multifunction=on`,
  ]).flat();
}
