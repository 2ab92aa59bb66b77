import { expect, it } from 'vitest';
import type { JsonObject } from '../../src/json.js';
import { connectQmp, openSession } from '../../src/qmp/connect.js';
import type { QmpSession } from '../../src/qmp/session.js';
import { createWorld } from '../../src/simulator/index.js';
import { startQemu } from '../support/qemu.js';

const CHANNEL = '/machine/virtual-css-bridge/virtual-css';
const MDEV = '/sys/bus/mdev/devices/11111111-2222-4333-8444-555555555555';
const rng = (id: string, devno?: string): Step => [
  'device_add',
  { driver: 'virtio-rng-ccw', id, ...(devno === undefined ? {} : { devno }) },
];
const read = (path: string, property: string): Step => ['qom-get', { path, property }];

type Step = readonly [command: string, args?: JsonObject];

/** All that the controller says to a mainframe, and what a mistaken one might. */
const STEPS: readonly Step[] = [
  ['query-target'],
  ['query-pci'],
  read('/machine', 'type'),
  read('/machine', 'acpi'),
  read(CHANNEL, 'hotplug-handler'),
  read('/machine/virtual-css-bridge', 'type'),
  read('/machine/virtual-css-bridge', 'addr'),
  read('/machine/s390-pcihost/pci.0', 'hotplug-handler'),
  read('/machine/s390-pcihost', 'addr'),
  read('/machine/ap-bridge', 'addr'),
  ['qom-list', { path: '/machine/ap-bridge/ap-bus' }],
  rng('a'),
  rng('b', 'FE.1.00AB'),
  rng('c', 'fe.1.00ab'),
  rng('c', 'fe.0.2'),
  rng('a', 'fe.0.0009'),
  rng('last', 'fe.3.ffff'),
  read('/machine/peripheral/a', 'dev_id'),
  read('/machine/peripheral/b', 'dev_id'),
  read('/machine/peripheral/b', 'parent_bus'),
  read('/machine/peripheral/b', 'addr'),
  read(CHANNEL, 'child[1]'),
  ['device_add', { driver: 'pcie-root-port', id: 'x' }],
  ['device_add', { driver: 'vfio-ccw', id: 'x', devno: 'fe.0.1234' }],
  ['device_add', { driver: 'vfio-ccw', id: 'x', sysfsdev: MDEV }],
  ['device_add', { driver: 'vfio-ccw', id: 'x', host: '0000:01:00.0' }],
  ['device_add', { driver: 'vfio-ap', id: 'x', sysfsdev: MDEV }],
  ['device_del', { id: 'a' }],
  ['device_del', { id: 'a' }],
  read('/machine/peripheral/a', 'dev_id'),
  rng('again'),
  read('/machine/peripheral/again', 'dev_id'),
];

/** What each step answers, and the ids of the events in between. */
async function play(session: QmpSession): Promise<readonly unknown[]> {
  const answers: unknown[] = [];
  for (const [command, args] of STEPS) {
    const answer: unknown = await session
      .execute(command, args)
      .catch((error: unknown) => (error as Error).message);
    answers.push([command, args, answer]);
  }
  return answers;
}

it('the simulated mainframe answers as QEMU does, up to where the hardware begins', async () => {
  await using qemu = await startQemu({
    binary: 'qemu-system-s390x',
    machine: 's390-ccw-virtio',
    paused: true,
  });
  const session = await connectQmp(qemu.qmpPath);
  const real = await play(session);
  await session.close();

  const world = createWorld({
    seed: 1,
    qemu: { machine: 's390-ccw-virtio', startPaused: true, monitors: ['unix:/run/vm.sock'] },
  });
  const simulated = await world.run(
    (async () => {
      const other = await openSession(world.connect('unix:/run/vm.sock'), { clock: world.clock });
      const answers = await play(other);
      await other.close();
      return answers;
    })(),
  );
  expect(simulated).toEqual(real);
});
