import { describe, expect, it } from 'vitest';
import { openSession } from '../../src/qmp/connect.js';
import { createWorld, type World, type WorldConfig } from '../../src/simulator/index.js';
import { ADDRESS, killAtEveryBoundary, onVm, SECOND_ADDRESS } from './simulated.js';

// Nobody had the hardware: what QEMU and the kernel do from where they refuse without it was read in their sources.

const SUBCHANNELS = [1, 2].map((n) => `11111111-2222-4333-8444-55555555555${n}`);
const MATRICES = [1, 2].map((n) => `11111111-2222-4333-8444-66666666666${n}`);
const [SUBCHANNEL = '', OTHER_SUBCHANNEL = ''] = SUBCHANNELS;
const [MATRIX = '', OTHER_MATRIX = ''] = MATRICES;

/** A mainframe with two subchannels and two matrices for VFIO, and a VM. */
function mainframe({
  cryptoQueues = true,
  ...config
}: Partial<WorldConfig> & { readonly cryptoQueues?: boolean } = {}): World {
  const world = createWorld({
    seed: 1,
    host: {
      mdevParents: {
        '0.0.0313': { 'vfio_ccw-io': { capacity: 2, deviceApi: 'vfio-ccw' } },
        matrix: { 'vfio_ap-passthrough': { capacity: 2, deviceApi: 'vfio-ap' } },
      },
    },
    qemu: {
      machine: 's390-ccw-virtio',
      cryptoQueues,
      monitors: [ADDRESS, SECOND_ADDRESS],
    },
    ...config,
  });
  for (const uuid of SUBCHANNELS) world.kernel.mdevs.create('0.0.0313', 'vfio_ccw-io', uuid);
  for (const uuid of MATRICES) world.kernel.mdevs.create('matrix', 'vfio_ap-passthrough', uuid);
  return world;
}

const attach = (world: World, device: string, port?: string) =>
  onVm(world, (vm) => vm.attach({ device, port }));
const detach = (world: World, device: string) => onVm(world, (vm) => vm.detach(device));
const idsIn = (world: World) => world.vm().machine.devices.map(({ id }) => id);

describe('a subchannel', () => {
  it('gets the number that is asked for, or the lowest free one, and gives it back at once', async () => {
    const world = mainframe();
    const before = world.snapshot();
    expect(await attach(world, SUBCHANNEL, 'fe.1.0042')).toMatchObject({
      attachment: { functions: [{ port: 'ccw1', addr: 'fe.1.0042', guestPath: '0.1.0042' }] },
      steps: [{ kind: 'ReserveGroup' }, { kind: 'GrantAccess' }, { kind: 'AddDevice' }],
    });
    expect(await attach(world, OTHER_SUBCHANNEL)).toMatchObject({
      attachment: { functions: [{ port: 'ccw0', addr: 'fe.0.0000', guestPath: '0.0.0000' }] },
    });
    expect(await attach(world, SUBCHANNEL)).toMatchObject({ attachment: { already: true } });
    await expect(attach(world, SUBCHANNEL, 'fe.1.0043')).rejects.toMatchObject({
      code: 'ATTACHED_ELSEWHERE',
    });
    expect(await detach(world, SUBCHANNEL)).toMatchObject({ removals: [{ state: 'released' }] });
    const rng = { emulate: { driver: 'virtio-rng-ccw' }, id: 'rng', port: 'fe.1.0042' };
    expect(await onVm(world, (vm) => vm.attach(rng))).toMatchObject({
      attachment: { functions: [{ addr: 'fe.1.0042' }] },
    });
    await detach(world, 'rng');
    await detach(world, OTHER_SUBCHANNEL);
    expect(world.snapshot()).toBe(before);
  });

  it('that another client took the number of goes back to the host', async () => {
    const world = mainframe();
    const before = world.snapshot();
    const occupy = async ({ turn, kind, at }: { turn: string; kind: string; at: string }) => {
      if (`${turn} ${kind} ${at}` !== 'do AddDevice before-intent') return;
      const session = await openSession(world.connect(SECOND_ADDRESS), { clock: world.clock });
      const other = { driver: 'virtio-rng-ccw', id: 'other', devno: 'fe.0.0000' };
      await session.execute('device_add', other);
      await session.close();
    };
    const attaching = onVm(world, (vm) => vm.attach({ device: SUBCHANNEL }), occupy);
    await expect(attaching).rejects.toMatchObject({
      code: 'STEP_FAILED',
      details: { kind: 'slot-occupied' },
    });
    expect(idsIn(world)).toEqual(['other']);
    await detach(world, 'other');
    expect(world.snapshot()).toBe(before);
  });
});

describe('a matrix of crypto queues', () => {
  it('takes the one place there is, and leaves it at once', async () => {
    const world = mainframe();
    const before = world.snapshot();
    expect(await attach(world, MATRIX)).toMatchObject({
      attachment: { functions: [{ port: 'ap' }] },
    });
    await expect(attach(world, OTHER_MATRIX)).rejects.toMatchObject({ code: 'NO_FREE_PORT' });
    await expect(attach(world, OTHER_MATRIX, 'ap')).rejects.toMatchObject({
      code: 'PORT_OCCUPIED',
    });
    const status = await onVm(world, (vm) => vm.status());
    expect(status.ports.find(({ id }) => id === 'ap')).toMatchObject({ state: 'used' });
    expect(await detach(world, MATRIX)).toMatchObject({ removals: [{ state: 'released' }] });
    await attach(world, OTHER_MATRIX);
    await detach(world, OTHER_MATRIX);
    expect(world.snapshot()).toBe(before);
  });

  it('is refused by a VM without a bus for it, and nothing is sent', async () => {
    const world = mainframe({ cryptoQueues: false });
    const before = world.snapshot();
    await expect(attach(world, MATRIX)).rejects.toMatchObject({ code: 'NO_FREE_PORT' });
    expect(world.snapshot()).toBe(before);
  });
});

describe.each([
  ['subchannel', SUBCHANNEL],
  ['matrix', MATRIX],
])('a process that is killed while it has to do with a %s', (_, device) => {
  it.each(['attach', 'detach'] as const)(
    'in the middle of %s leaves nothing that a later command does not mend',
    async (what) => {
      const untouched = mainframe().snapshot();
      const count = await killAtEveryBoundary(
        async () => {
          const world = mainframe();
          if (what === 'detach') await attach(world, device);
          return world;
        },
        (vm) => (what === 'attach' ? vm.attach({ device }) : vm.detach(device)),
        async (world, kill) => {
          if (kill % 2 === 0) await onVm(world, (vm) => vm.recover());
          await detach(world, device);
          expect(idsIn(world), `killed at ${kill}`).toEqual([]);
          expect(world.snapshot(), `killed at ${kill}`).toBe(untouched);
        },
      );
      expect(count).toBeGreaterThan(8);
    },
  );
});
