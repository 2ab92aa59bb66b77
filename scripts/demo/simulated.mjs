// The scene for a machine without QEMU: the same commands, answered by the simulator of qmplug itself.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';

/** @typedef {import('./stage.mjs').Stage} Stage */

const QMPLUG = join(import.meta.dirname, '../../dist/cli/main.js');
const ID = 'practice0';

/** @param {Stage} stage */
export async function showSimulated(stage) {
  console.log('SIMULATED: no QEMU and no guest run here. A model of both answers, in their place.');
  const directory = mkdtempSync(join(tmpdir(), 'qmplug-demo-'));
  const socket = join(directory, 'vm.sock');
  process.env.QMPLUG_STATE_DIR = join(directory, 'state');
  process.env.QMPLUG_RUN_DIR = process.env.QMPLUG_STATE_DIR;
  stage.step('Start a simulated QEMU with two ports and a Linux guest');
  const args = ['simulate', '--listen', socket, '--ports', '2'];
  const vm = spawn(process.execPath, [QMPLUG, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(vm, 'exit');
  try {
    const [line] = await Promise.race([
      once(vm.stdout, 'data'),
      ended.then(() => Promise.reject(new Error('the simulator has ended'))),
    ]);
    stage.show(String(line));
    await stage.qmplug(['topology', socket]);

    stage.step('Give it a device');
    const device = ['--device', '{"driver":"virtio-rng-pci"}', '--id', ID, '--wait', 'placed'];
    await stage.qmplug(['attach', socket, ...device]);
    const { ports } = await stage.ask(['status', socket]);
    stage.check(ports[0].occupants[0] === ID, 'it is in the first port');

    stage.step('Take it back');
    await stage.qmplug(['detach', socket, ID]);
    const after = await stage.ask(['status', socket]);
    const isFree = (/** @type {{ state: string }} */ { state }) => state === 'free';
    stage.check(after.ports.every(isFree), 'both ports are free');
  } finally {
    vm.kill('SIGTERM');
    await ended;
    rmSync(directory, { recursive: true, force: true });
  }
}
